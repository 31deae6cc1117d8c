"""The shapes of orders: as sent and as answered."""

from typing import Annotated, NamedTuple

from pydantic import BaseModel, Field

from service_common.fields import Body, Id


class Order(BaseModel):
    """An order as answered; name and price are those at the time of the check."""

    id: int
    user_id: int
    product_id: int
    quantity: int
    product_name: str
    unit_price: str
    total: str
    created_at: str


class NewOrder(Body):
    """An order as sent."""

    user_id: Id
    product_id: Id
    quantity: Annotated[int, Field(ge=1, le=10_000)]


class CheckedOrder(NamedTuple):
    """An order whose user and product were found: it may be written."""

    new: NewOrder
    product_name: str
    cents: int
