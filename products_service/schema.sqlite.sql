-- version 1
CREATE TABLE products (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL,
    cents      INTEGER NOT NULL CHECK (cents BETWEEN 0 AND 100000000),
    price      TEXT AS (format('%d.%02d', cents / 100, cents % 100)),
    version    INTEGER NOT NULL DEFAULT 1,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT;

-- version 2: limited stock
ALTER TABLE products ADD COLUMN stock INTEGER CHECK (stock >= 0); -- units that can still be sold; null: unlimited
ALTER TABLE products ADD COLUMN additions INTEGER NOT NULL DEFAULT 0; -- how often units were added or taken away by hand
CREATE TABLE reservations (
    token      TEXT PRIMARY KEY,
    product_id INTEGER NOT NULL,
    quantity   INTEGER NOT NULL,
    attempt    TEXT NOT NULL -- the token up to its last dot
) STRICT, WITHOUT ROWID;
CREATE INDEX reservations_by_product ON reservations (product_id, attempt, quantity);
CREATE TABLE sales ( -- kept for ever: a token that is sold can never be reserved again
    token TEXT PRIMARY KEY, product_id INTEGER NOT NULL, quantity INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sales_by_product ON sales (product_id);
