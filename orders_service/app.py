"""Orders: a user buys a product. Both are asked for over HTTP before anything is written."""

from functools import partial

import gevent
from prometheus_client import CollectorRegistry

from service_common.factory import build
from service_common.http import problem_kinds as kinds
from service_common.http.application import Application
from service_common.resource.declaration import Item, Resource
from service_common.storage.database import Table

from .checkout import STOCK_HELD, UNKNOWN_REFERENCE, Checkout
from .models import NewOrder, Order
from .settings import OrdersSettings
from .stock.owners import Owner
from .stock.reconciliation import Reconciliation
from .stock.settling import Settler
from .stock.sweep import Sweep
from .upstream.attempts import Attempts
from .upstream.reservations import Reservations
from .upstream.rounds import Lookups

LEAVE_S = 2  # seconds of a stop that are kept for the last writes

TABLE = Table(
    name="orders",
    answers=tuple(Order.model_fields),
    fields=("user_id", "product_id", "quantity", "product_name", "cents", "token"),
    insert="""
        INSERT INTO orders (id, user_id, product_id, quantity, product_name, cents, token)
        SELECT id, user_id, product_id, quantity, product_name, cents, token FROM new
    """,
)


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


def create_app(settings: OrdersSettings | None = None) -> Application:
    """Return the orders service, with its database at `settings.data_dir`/orders.db."""
    settings = settings or OrdersSettings.from_env()
    registry = CollectorRegistry()
    attempts = Attempts(registry)
    reservations = Reservations(attempts)
    lookups = Lookups(settings, attempts, reservations, registry)
    orders = Resource(
        table=TABLE,
        item=Order,
        new=NewOrder,
        rows=Checkout(lookups, attempts, settings.held_patience).rows,
        ended=attempts.ended,
        problems=(UNKNOWN_REFERENCE, kinds.OUT_OF_STOCK, STOCK_HELD),
        filters=("user_id", "product_id"),
        embeds=("user", "product"),
        embed=partial(embed, lookups),
    )
    app = build(orders, __package__, settings, registry)
    owner = Owner(attempts, app.database, settings.owner_beat)
    settler = Settler(attempts, reservations, lookups.aside)
    reconciliation = Reconciliation(attempts, app.database, reservations, lookups.aside)
    sweep = Sweep(attempts, owner, app.database, reservations, reconciliation, lookups.aside)
    gevent.spawn(owner.run)
    gevent.spawn(settler.run)
    gevent.spawn(sweep.run, settings.sweep_every)

    def stop(timeout: float) -> None:
        """Settle what can be settled. Then remove the owner, so that another process can settle the rest."""
        settler.drain(timeout - LEAVE_S)
        owner.leave()

    app.before_close = stop
    return app
