"""The shapes of users: as sent, as changed, as answered."""

import re
import unicodedata
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, StringConstraints

from service_common.resource.characters import INVISIBLE, is_hidden, ranges
from service_common.resource.fields import Body, Change, Documented, Name

LONGEST_EMAIL = 254  # characters: RFC 5321, section 4.5.3.1.3, without the angle brackets
_plain = re.compile(r"[!-?A-~]+@[!-?A-~]+")  # visible ASCII on both sides of one @


def email(text: str) -> str:
    """Refuse a text that is not an e-mail address: one @ with something on both sides, and nothing invisible."""
    if _plain.fullmatch(text):
        return text
    local, _, domain = text.partition("@")
    if not local or not domain or "@" in domain:
        raise ValueError("must be an e-mail address: one @ with something before and after it")
    if is_hidden(text):
        raise ValueError("must hold no white space and no invisible characters")
    return text


def email_schema() -> dict[str, Any]:
    part = f"[^@{ranges(INVISIBLE)}]+"
    return {
        "type": "string",
        "maxLength": LONGEST_EMAIL,
        "pattern": f"^{part}@{part}$",
        "description": f"At most {LONGEST_EMAIL} characters, one of them an @, and none invisible.",
        "examples": ["ada@example.com"],
    }


Email = Annotated[str, StringConstraints(max_length=LONGEST_EMAIL), AfterValidator(email), Documented(email_schema)]


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
    """The fields of a user that may change."""

    name: Name = ""
    email: Email = ""


def email_key(email: str) -> str:
    """Return what two equal e-mail addresses have in common: Unicode NFC and case folding."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", email).casefold())
