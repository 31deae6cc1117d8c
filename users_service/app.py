"""Users: who may order. An e-mail address belongs to one user."""

import apsw

from service_common.app import Service, build
from service_common.collection import Resource
from service_common.problems import KINDS, Problem
from service_common.settings import Settings
from service_common.store import Row

from .models import NewUser, User, UserChange, email_key

KINDS["duplicate-email"] = (409, "Another user has this e-mail address")


def insert(db: apsw.Connection, new: NewUser, columns: str) -> list[Row]:
    return db.execute(
        f"INSERT INTO users (name, email, email_key) VALUES (?, ?, ?) RETURNING {columns}",
        (new.name, new.email, email_key(new.email)),
    ).fetchall()


def update(db: apsw.Connection, id: int, change: UserChange, columns: str) -> list[Row]:
    email = change.email or None
    return db.execute(
        "UPDATE users SET name = ifnull(?, name), email = ifnull(?, email), email_key = ifnull(?, email_key),"
        f" version = version + 1 WHERE id = ? RETURNING {columns}",
        (change.name or None, email, email and email_key(email), id),
    ).fetchall()


def create_app(settings: Settings | None = None) -> Service:
    """The users service, with its database at `settings.data_dir`/users.db."""
    users = Resource(
        name="users",
        item=User,
        new=NewUser,
        insert=insert,
        change=UserChange,
        update=update,
        conflicts={"email_key": Problem("duplicate-email", "Compared after Unicode NFC and case folding.")},
    )
    return build(users, __package__, settings or Settings.from_env())
