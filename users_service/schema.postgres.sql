-- version 1
CREATE TABLE users (
    id         bigint PRIMARY KEY,
    name       text NOT NULL,
    email      text NOT NULL,
    email_key  text NOT NULL UNIQUE, -- the email after NFC and case folding
    version    bigint NOT NULL DEFAULT 1,
    created_at text NOT NULL DEFAULT (to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
);
