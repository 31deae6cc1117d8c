"""The paths of stock in the OpenAPI document."""

from service_common.resource.openapi.collection import IN_PATH
from service_common.resource.openapi.parts import (
    CONDITIONS,
    INTEGER,
    KEY,
    READS,
    STRING,
    WRITES,
    Schema,
    answer,
    operation,
    parameter,
    ref,
)
from service_common.resource.routes import LARGEST_PAGE, PAGE

from .stock_models import TOKEN, TOKEN_SCHEMA, Addition, Messages


def object_of(**properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


def array_of(items: Schema) -> Schema:
    return {"type": "array", "items": items}


AFTER: Schema = {"type": "string", "pattern": f"^({TOKEN.pattern})?$"}
LIMIT: Schema = {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": PAGE}
NEXT: Schema = {"type": ["string", "null"], "description": "The link to the next page, if there is one."}
EXCHANGED = object_of(
    items=array_of(ref("Product"))
    | {"description": "The products in `ids` and `reserve` that exist, as they are now."},
    short=array_of(object_of(token=TOKEN_SCHEMA, left=INTEGER))
    | {"description": "Not reserved: too few are left, whatever becomes of what others hold."},
    held=array_of(TOKEN_SCHEMA) | {"description": "Not reserved: others hold units that may come back. Ask again."},
    unknown=array_of(TOKEN_SCHEMA) | {"description": "To be confirmed, but neither open nor sold."},
)
LISTED = object_of(items=array_of(object_of(token=STRING, product_id=INTEGER, quantity=INTEGER)), next=NEXT)
STOCK = object_of(stock={"type": ["integer", "null"]}, additions=INTEGER)
PAGING = (
    parameter("after", AFTER, "Only open reservations with a later token."),
    parameter("sold_after", AFTER, "In place of `after`: list the sales, those with a later token."),
    parameter("limit", LIMIT, "The number of items on a page."),
)
BODIES = (Addition, Messages)
PATHS: Schema = {
    "/products/{id}/stock": {
        "post": operation(
            "addStock", "products", "Add units to a limited product, or take some away",
            {200: answer(200, ref("Product"), ("ETag", "Idempotency-Replayed"))},
            (*WRITES, 404, 412), (IN_PATH, KEY, *CONDITIONS), ref("Addition"),
        ),
        "get": operation(
            "getStock", "products", "Read the stock of a product, and how often it was changed by hand",
            {200: answer(200, STOCK)}, (*READS, 404), (IN_PATH,),
        ),
    },
    "/products/reservations": {
        "post": operation(
            "exchangeReservations", "products", "Settle and reserve units for orders: confirm, release, reserve",
            {200: answer(200, EXCHANGED, ("Idempotency-Replayed",))}, WRITES, (KEY,), ref("Messages"),
        ),
        "get": operation(
            "listReservations", "products", "List open reservations or sales by token",
            {200: answer(200, LISTED)}, READS, PAGING,
        ),
    },
}  # fmt: skip
