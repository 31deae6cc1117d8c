-- version 1
CREATE TABLE products (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL,
    cents      INTEGER NOT NULL CHECK (cents BETWEEN 0 AND 100000000),
    price      TEXT AS (format('%d.%02d', cents / 100, cents % 100)),
    version    INTEGER NOT NULL DEFAULT 1,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT;
