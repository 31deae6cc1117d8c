"""The answers of users and products, as far as orders relies on them. They are untrusted input."""

from typing import Annotated, NotRequired

from pydantic import ConfigDict, Field, StringConstraints
from typing_extensions import TypedDict

from service_common.resource.fields import CONTROL, Id

Token = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Units = Annotated[int, Field(ge=0)]

STRICT = ConfigDict(strict=True, extra="ignore")  # coerce no value, and pass no other field on


class User(TypedDict):
    """A user as answered."""

    __pydantic_config__ = STRICT  # type: ignore[misc]
    id: Id
    name: str
    email: str
    created_at: str


class Product(TypedDict):
    """A product as answered. An order keeps its name and price."""

    __pydantic_config__ = STRICT  # type: ignore[misc]
    id: Id
    name: Annotated[str, StringConstraints(max_length=200, pattern=f"^[^{CONTROL}]+$")]
    price: Annotated[str, StringConstraints(pattern=r"^([0-9]{1,6}\.[0-9]{2}|1000000\.00)$")]
    stock: NotRequired[Units | None]  # None: unlimited, as all are where products does not know of stock yet
    created_at: str


class UserPage(TypedDict):
    """A page of users: `{"items": [{"id": 1, "name": "Ada", …}]}`."""

    items: list[User]


class ProductPage(TypedDict):
    """A page of products: `{"items": [{"id": 1, "name": "Tea", "price": "19.99", …}]}`."""

    items: list[Product]


class Short(TypedDict):
    """A reserve for which too few units are left."""

    __pydantic_config__ = STRICT  # type: ignore[misc]
    token: Token
    left: Units


class Exchanged(TypedDict):
    """The answer to what was to be reserved, confirmed and released."""

    __pydantic_config__ = STRICT  # type: ignore[misc]
    items: list[Product]
    short: list[Short]
    held: list[Token]
    unknown: list[Token]


class Taken(TypedDict):
    """Units that are reserved or sold."""

    __pydantic_config__ = STRICT  # type: ignore[misc]
    token: Token
    product_id: Id
    quantity: Units


class TakenPage(TypedDict):
    """A page of reservations or of sales."""

    __pydantic_config__ = STRICT  # type: ignore[misc]
    items: list[Taken]
    next: str | None


class Stock(TypedDict):
    """The stock of a product."""

    __pydantic_config__ = STRICT  # type: ignore[misc]
    additions: Units
