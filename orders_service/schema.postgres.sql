-- version 1
CREATE TABLE orders (
    id           bigint PRIMARY KEY,
    user_id      bigint NOT NULL,
    product_id   bigint NOT NULL,
    quantity     bigint NOT NULL CHECK (quantity BETWEEN 1 AND 10000),
    product_name text NOT NULL,   -- as it was at the check, like the price
    cents        bigint NOT NULL, -- the price of one
    unit_price   text GENERATED ALWAYS AS ((cents / 100)::text || '.' || lpad((cents % 100)::text, 2, '0')) STORED,
    total        text GENERATED ALWAYS AS (
        (cents * quantity / 100)::text || '.' || lpad((cents * quantity % 100)::text, 2, '0')
    ) STORED,
    created_at   text NOT NULL DEFAULT (to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
);
-- Each ends with the id, so that a page of a filtered list is read in its order.
CREATE INDEX orders_by_user ON orders (user_id, id);
CREATE INDEX orders_by_product ON orders (product_id, id);
CREATE INDEX orders_by_user_and_product ON orders (user_id, product_id, id);

-- version 2: limited stock
ALTER TABLE orders ADD COLUMN token text; -- of the units that the order takes from stock; null: its product was unlimited
CREATE UNIQUE INDEX orders_by_token ON orders (token) WHERE token IS NOT NULL;
CREATE TABLE owners ( -- the runs of orders processes that may still commit orders with a token
    id   text PRIMARY KEY, -- random, never inserted again
    beat bigint NOT NULL   -- counts up while the process lives
);
CREATE TABLE contradictions ( -- tokens of orders that products does not know, and of sales that no order has
    token      text PRIMARY KEY,
    product_id bigint NOT NULL,
    additions  bigint NOT NULL -- how often the stock of the product had been changed by hand
);
