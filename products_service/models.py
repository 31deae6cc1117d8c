"""The shapes of products: as sent, as changed, as answered."""

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema

from service_common.resource.fields import Body, Change, Name

HIGHEST = 1_000_000  # as a price, not in cents
MOST_STOCK = 1_000_000_000  # units, those reserved included
CENT = Decimal("0.01")
DECIMAL = re.compile(r"(?=.*[0-9])[0-9]{0,40}(\.[0-9]{0,2})?")

PRICE_PATTERN = r"^(0{0,33}1000000(\.0{0,2})?|0{0,34}[0-9]{1,6}(\.[0-9]{0,2})?|\.[0-9]{1,2})$"


def cents(price: Any) -> int:
    """Return a price in whole cents, from a decimal string or a JSON number. Nothing is rounded.

    A string is read as it is written, a number by its value: 1e2 is 100, and 19.990 is 19.99.

    Raises:
        ValueError: the price is not from 0.00 to 1000000.00 with at most two decimals.
    """
    if isinstance(price, str) and DECIMAL.fullmatch(price):
        price = Decimal(price)
    if isinstance(price, int | Decimal) and not isinstance(price, bool) and 0 <= price <= HIGHEST:
        rounded = Decimal(price).quantize(CENT)
        if rounded == price:
            return int(rounded.scaleb(2))
    raise ValueError('must be a decimal such as "19.99", from 0.00 to 1000000.00 with at most two decimals')


Price = Annotated[
    int,
    BeforeValidator(cents),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": PRICE_PATTERN},
                {"type": "number", "minimum": 0, "maximum": HIGHEST},
            ],
            "description": "From 0.00 to 1000000.00 with at most two decimals, as a string or a number.",
            "examples": ["19.99"],
        }
    ),
]

Stock = Annotated[int, Field(ge=0, le=MOST_STOCK)] | None  # None: unlimited


class Product(BaseModel):
    """A product as answered. Its price always has two decimals."""

    id: int
    name: str
    price: str
    stock: int | None
    created_at: str


class NewProduct(Body):
    """A product as sent."""

    name: Name
    price: Price
    stock: Stock = None


class ProductChange(Change):
    """The fields of a product that may change."""

    name: Name = ""
    price: Price = -1  # stays as it is
    stock: Stock = -1  # stays as it is
