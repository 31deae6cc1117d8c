"""The shapes of users: as sent, as changed, as answered."""

import unicodedata
from typing import Annotated

from pydantic import BaseModel, StringConstraints

from service_common.fields import NOT_VISIBLE, Body, Change, Name

PART = f"[^@{NOT_VISIBLE}]+"  # on either side of the one @: no white space, no control characters
Email = Annotated[str, StringConstraints(max_length=254, pattern=f"^{PART}@{PART}$")]


class User(BaseModel):
    """A user as answered."""

    id: int
    name: str
    email: str
    created_at: str


class NewUser(Body):
    """A user as sent."""

    name: Name
    email: Email


class UserChange(Change):
    """What may change of a user."""

    name: Name = ""
    email: Email = ""


def email_key(email: str) -> str:
    """What makes two e-mail addresses the same: Unicode NFC and case folding."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", email).casefold())
