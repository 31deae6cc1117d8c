-- version 1
CREATE TABLE products (
    id         bigint PRIMARY KEY,
    name       text NOT NULL,
    cents      bigint NOT NULL CHECK (cents BETWEEN 0 AND 100000000),
    price      text GENERATED ALWAYS AS ((cents / 100)::text || '.' || lpad((cents % 100)::text, 2, '0')) STORED,
    version    bigint NOT NULL DEFAULT 1,
    created_at text NOT NULL DEFAULT (to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
);

-- version 2: limited stock
ALTER TABLE products ADD COLUMN stock bigint CHECK (stock >= 0); -- units that can still be sold; null: unlimited
ALTER TABLE products ADD COLUMN additions bigint NOT NULL DEFAULT 0; -- how often units were added or taken away by hand
CREATE TABLE reservations (
    token      text COLLATE "C" PRIMARY KEY,
    product_id bigint NOT NULL,
    quantity   bigint NOT NULL,
    attempt    text NOT NULL -- the token up to its last dot
);
CREATE INDEX reservations_by_product ON reservations (product_id, attempt, quantity);
CREATE TABLE sales ( -- kept for ever: a token that is sold can never be reserved again
    token      text COLLATE "C" PRIMARY KEY,
    product_id bigint NOT NULL,
    quantity   bigint NOT NULL
);
CREATE INDEX sales_by_product ON sales (product_id);
