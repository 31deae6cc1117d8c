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

-- version 3: limited stock
ALTER TABLE orders ADD COLUMN token TEXT; -- of the units that the order takes from stock; null: its product was unlimited
CREATE UNIQUE INDEX orders_by_token ON orders (token) WHERE token IS NOT NULL;
CREATE TABLE owners ( -- the runs of orders processes that may still commit orders with a token
    id   TEXT PRIMARY KEY, -- random, never inserted again
    beat INTEGER NOT NULL  -- counts up while the process lives
) STRICT;
CREATE TABLE contradictions ( -- tokens of orders that products does not know, and of sales that no order has
    token      TEXT PRIMARY KEY,
    product_id INTEGER NOT NULL,
    additions  INTEGER NOT NULL -- how often the stock of the product had been changed by hand
) STRICT;
