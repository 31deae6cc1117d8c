"""The shapes of stock: added, reserved, listed."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from service_common.http.body import MOST_MEMBERS
from service_common.resource.fields import Body, Id

from .models import MOST_STOCK

MOST_TOKENS = 1000  # of each list of one call
MOST_IDS = 500  # that are only looked up
MOST_UNITS = 10_000  # of one reservation
TOKEN = re.compile(r"[!-.0-~]{1,100}")


def token(text: str) -> str:
    """Return a token of orders as it is.

    Raises:
        ValueError: it is not 1 to 100 visible ASCII characters without a slash.
    """
    if not TOKEN.fullmatch(text):
        raise ValueError("must be 1 to 100 visible ASCII characters without a slash")
    return text


def nonzero(units: int) -> int:
    if not units:
        raise ValueError("must not be 0")
    return units


TOKEN_SCHEMA: dict[str, Any] = {
    "type": "string",
    "pattern": f"^{TOKEN.pattern}$",
    "examples": ["0f8c25d1a4e97b36.17.0"],
}
ADD_SCHEMA: dict[str, Any] = {
    "type": "integer", "minimum": -MOST_STOCK, "maximum": MOST_STOCK, "not": {"const": 0},
    "description": "Units to add; fewer than 0 to take some away. Not 0.", "examples": [100],
}  # fmt: skip
Token = Annotated[str, AfterValidator(token), WithJsonSchema(TOKEN_SCHEMA)]


class Addition(Body):
    """Units to be added to a limited product, or taken away."""

    add: Annotated[int, Field(ge=-MOST_STOCK, le=MOST_STOCK), AfterValidator(nonzero), WithJsonSchema(ADD_SCHEMA)]


class Wanted(Body):
    """Units to be reserved under a token."""

    token: Token
    product_id: Id
    quantity: Annotated[int, Field(ge=1, le=MOST_UNITS)]

    @model_validator(mode="before")
    @classmethod
    def not_crowded(cls, value: Any) -> Any:
        """Refuse an object with very many members. pydantic would describe each of them."""
        if isinstance(value, dict) and len(value) > MOST_MEMBERS:
            raise ValueError("has too many fields")
        return value


class Messages(Body):
    """What orders asks and tells in one call."""

    ids: Annotated[list[Id], Field(default_factory=list, max_length=MOST_IDS)]
    reserve: Annotated[list[Wanted], Field(default_factory=list, max_length=MOST_TOKENS)]
    confirm: Annotated[list[Token], Field(default_factory=list, max_length=MOST_TOKENS)]
    release: Annotated[list[Token], Field(default_factory=list, max_length=MOST_TOKENS)]
