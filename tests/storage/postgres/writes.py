"""Writes of users, as the tests of this folder make them."""

import json
from typing import Any

from service_common.storage.database import Answer, Insert, Key, Row, UniqueViolation, Versions, Write
from service_common.storage.database import Update as UpdateOperation
from users_service.app import TABLE

LAST = "SELECT id, name, email FROM users WHERE id > ? ORDER BY id LIMIT ?"


def user(name: str) -> Row:
    """Return the values of a user whose e-mail address is made from the name."""
    return name, f"{name}@example.org", f"{name}@example.org"


def insert(*names: str) -> Write:
    """Return a write that inserts users."""
    return Write(Insert(TABLE, [user(name) for name in names]), rows=len(names))


def keyed(key: str, name: str, fingerprint: bytes = b"same") -> Write:
    """Return a write that inserts a user under a key. Its answer holds the id, or says that the user was refused."""
    return Write(Insert(TABLE, [user(name)]), answer, Key(key, fingerprint))


def answer(result: list[Row | UniqueViolation]) -> Answer:
    """Return the answer to the creation of one user."""
    (row,) = result
    if isinstance(row, UniqueViolation):
        return Answer(409, row.column.encode(), {})
    return Answer(201, json.dumps(row[0]).encode(), {"Location": f"/users/{row[0]}"})


def rename(id: int, name: str, *versions: str) -> Write:
    """Return a write that renames a user, if it has one of `versions`; any, if none is given."""
    accepted = Versions(frozenset(versions)) if versions else Versions()
    return Write(UpdateOperation(TABLE, id, (name, None, None), accepted))


def move(id: int, email: str) -> Write:
    """Return a write that gives a user another e-mail address."""
    return Write(UpdateOperation(TABLE, id, (None, email, email)))


def all_outcomes(database: Any, *writes: Write) -> list[Any]:
    """Make writes that wait at the same moment, so in one group; return what each has returned or raised."""
    return [outcome(database, job) for job in [database.submit(write) for write in writes]]


def outcome(database: Any, job: Any) -> Any:
    """Return what became of a write: its value, or what it raised."""
    try:
        return database.wait(job)
    except Exception as error:
        return error
