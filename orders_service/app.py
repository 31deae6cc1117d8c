"""Orders: a user buys a product. Both are asked for over HTTP before anything is written."""

from collections.abc import Sequence
from functools import partial

import apsw
from prometheus_client import CollectorRegistry

from service_common.app import Service, build
from service_common.collection import Item, Resource
from service_common.problems import KINDS, Problem
from service_common.settings import Settings
from service_common.store import Row

from .lookups import Lookups
from .models import CheckedOrder, NewOrder, Order

KINDS["unknown-reference"] = (422, "The order names a user or product that does not exist")


def check(lookups: Lookups, orders: Sequence[NewOrder]) -> list[CheckedOrder | Problem]:
    """Ask for the users and products of all `orders` at once; an order that names an unknown one is a problem."""
    users, products = lookups.fetch({new.user_id for new in orders}, {new.product_id for new in orders})
    checked: list[CheckedOrder | Problem] = []
    for new in orders:
        product = products.get(new.product_id)
        if product and new.user_id in users:
            checked.append(CheckedOrder(new, product["name"], int(product["price"].replace(".", ""))))
            continue
        errors = []
        if new.user_id not in users:
            errors.append({"pointer": "/user_id", "detail": f"there is no user {new.user_id}"})
        if not product:
            errors.append({"pointer": "/product_id", "detail": f"there is no product {new.product_id}"})
        checked.append(Problem("unknown-reference", "Nothing was written.", errors))
    return checked


def insert(db: apsw.Connection, checked: CheckedOrder, columns: str) -> list[Row]:
    new = checked.new
    return db.execute(
        "INSERT INTO orders (user_id, product_id, quantity, product_name, cents) VALUES (?, ?, ?, ?, ?)"
        f" RETURNING {columns}",
        (new.user_id, new.product_id, new.quantity, checked.product_name, checked.cents),
    ).fetchall()


def embed(lookups: Lookups, orders: list[Item], names: list[str]) -> None:
    """Add to each order what `names` asks for, as it is now; None where it has been deleted."""
    users, products = lookups.fetch(
        {order["user_id"] for order in orders} if "user" in names else set(),
        {order["product_id"] for order in orders} if "product" in names else set(),
    )
    for order in orders:
        if "user" in names:
            order["user"] = users.get(order["user_id"])
        if "product" in names:
            order["product"] = products.get(order["product_id"])


def create_app(settings: Settings | None = None) -> Service:
    """The orders service, with its database at `settings.data_dir`/orders.db."""
    settings = settings or Settings.from_env()
    registry = CollectorRegistry()
    lookups = Lookups(settings, registry)
    orders = Resource(
        name="orders",
        item=Order,
        new=NewOrder,
        insert=insert,
        prepare=partial(check, lookups),
        filters=("user_id", "product_id"),
        embeds=("user", "product"),
        embed=partial(embed, lookups),
    )
    return build(orders, __package__, settings, registry)
