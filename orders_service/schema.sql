-- version 1
CREATE TABLE orders (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id      INTEGER NOT NULL,
    product_id   INTEGER NOT NULL,
    quantity     INTEGER NOT NULL CHECK (quantity BETWEEN 1 AND 10000),
    product_name TEXT NOT NULL,    -- as it was at the check, like the price
    cents        INTEGER NOT NULL, -- the price of one
    unit_price   TEXT AS (format('%d.%02d', cents / 100, cents % 100)),
    total        TEXT AS (format('%d.%02d', cents * quantity / 100, cents * quantity % 100)),
    created_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT;
CREATE INDEX orders_by_user ON orders (user_id);
CREATE INDEX orders_by_product ON orders (product_id);

-- version 2: a list filtered by both must not read all that one of them has
CREATE INDEX orders_by_user_and_product ON orders (user_id, product_id);
