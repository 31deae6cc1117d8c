-- The tables that the engine itself needs, whatever the service.

-- The turn: a transaction that writes updates this row first, so one of them runs at a time, whichever replica it is of.
-- `ids` is the highest id given so far, of all tables: ids follow commits, and a reader that remembers the last id it has
-- seen misses nothing.
CREATE TABLE turn (
    single boolean PRIMARY KEY DEFAULT true CHECK (single), -- there is one row
    ids    bigint NOT NULL
) WITH (fillfactor = 10); -- room for new versions of the row beside the old one
INSERT INTO turn (ids) VALUES (0);

-- Answers of keyed requests, written in the transaction of the write that they answer.
CREATE TABLE idempotency_keys (
    key         text PRIMARY KEY,
    fingerprint bytea NOT NULL,
    status      integer NOT NULL,
    body        bytea NOT NULL,
    headers     text NOT NULL,
    created_at  bigint NOT NULL -- seconds since 1970
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at); -- the oldest are deleted first
