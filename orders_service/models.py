"""The shapes of orders: as sent and as answered."""

from typing import Annotated

from pydantic import BaseModel, Field

from service_common.resource.fields import Body, Id


class Order(BaseModel):
    """An order as answered. Its product name and price are those of the moment when it was checked."""

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
