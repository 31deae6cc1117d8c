-- Answers of keyed requests, written in the transaction of the write that they answer.
-- Rows are in the order of their time, so that the oldest are purged from the front.
CREATE TABLE IF NOT EXISTS idempotency_keys (
    id          INTEGER PRIMARY KEY,
    key         TEXT NOT NULL UNIQUE,
    fingerprint BLOB NOT NULL,
    status      INTEGER NOT NULL,
    body        BLOB NOT NULL,
    headers     TEXT NOT NULL,
    created_at  INTEGER NOT NULL -- seconds since 1970
) STRICT;
