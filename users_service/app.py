"""Users: who may order. An e-mail address belongs to one user."""

from collections.abc import Sequence

from service_common.factory import build
from service_common.http.application import Application
from service_common.http.problem_kinds import ProblemKind
from service_common.http.problems import Problem
from service_common.resource.declaration import Resource
from service_common.settings import Settings
from service_common.storage.database import Row, Table

from .models import NewUser, User, UserChange, email_key

TABLE = Table(
    name="users",
    answers=tuple(User.model_fields),
    fields=("name", "email", "email_key"),
    insert="INSERT INTO users (id, name, email, email_key) SELECT id, name, email, email_key FROM new",
    update="""
        UPDATE users SET name = coalesce(change.name, users.name), email = coalesce(change.email, users.email),
            email_key = coalesce(change.email_key, users.email_key), version = users.version + 1
        FROM change WHERE users.id = change.id
    """,
)
DUPLICATE_EMAIL = ProblemKind(
    "duplicate-email", 409, "Another user has this e-mail address",
    "Another user has this address. Addresses are compared after Unicode NFC and case folding. Nothing was written.",
    "Use another address, or find the user who has this one.",
)  # fmt: skip


def rows(users: Sequence[NewUser]) -> list[Row | Problem]:
    return [(new.name, new.email, email_key(new.email)) for new in users]


def changed(change: UserChange) -> Row:
    email = change.email or None
    return change.name or None, email, email and email_key(email)


def create_app(settings: Settings | None = None) -> Application:
    """Return the users service, with its database at `settings.data_dir`/users.db."""
    users = Resource(
        table=TABLE,
        item=User,
        new=NewUser,
        rows=rows,
        change=UserChange,
        changed=changed,
        problems=(DUPLICATE_EMAIL,),
        conflicts={"email_key": (DUPLICATE_EMAIL, "Addresses are compared after Unicode NFC and case folding.")},
    )
    return build(users, __package__, settings or Settings.from_env())
