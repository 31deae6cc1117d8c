"""Ids of rows: whole numbers from 1 to `MAX_ID`, handed out by the database."""

MAX_ID = 2**63 - 1  # the largest that SQLite and PostgreSQL can hold
