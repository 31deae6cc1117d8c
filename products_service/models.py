"""The shapes of products: as sent, as changed, as answered."""

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, WithJsonSchema

from service_common.fields import Body, Change, Name

HIGHEST = 1_000_000
CENT = Decimal("0.01")
DECIMAL = re.compile(r"(?=.*[0-9])[0-9]{0,40}(\.[0-9]{0,2})?")

PRICE_PATTERN = r"^(0{0,33}1000000(\.0{0,2})?|0{0,34}[0-9]{1,6}(\.[0-9]{0,2})?|\.[0-9]{1,2})$"


def cents(price: Any) -> int:
    """A price as whole cents: from a decimal string or from a JSON number, exactly.

    A string counts as it is written, a number by its value: 1e2 is 100, and 19.990 is 19.99.

    Raises:
        ValueError: it is not from 0.00 to 1000000.00 with at most two decimals.
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
            "description": "0.00 to 1000000.00 with at most two decimals, also as a number.",
            "examples": ["19.99"],
        }
    ),
]


class Product(BaseModel):
    """A product as answered; the price always has two decimals."""

    id: int
    name: str
    price: str
    created_at: str


class NewProduct(Body):
    """A product as sent."""

    name: Name
    price: Price


class ProductChange(Change):
    """What may change of a product."""

    name: Name = ""
    price: Price = -1
