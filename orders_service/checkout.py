"""The checkout: orders are looked up and their units reserved; what cannot be ordered is refused."""

import time
from collections.abc import Sequence

import gevent

from service_common.http import problem_kinds as kinds
from service_common.http.problem_kinds import ProblemKind
from service_common.http.problems import Problem
from service_common.storage.database import Row

from .models import NewOrder
from .upstream.attempts import Attempt, Attempts, Item, State
from .upstream.client import Found
from .upstream.rounds import Lookups

ASK_AGAIN_S = 0.03  # seconds until units that others hold are asked for again

UNKNOWN_REFERENCE = ProblemKind(
    "unknown-reference", 422, "The order names a user or product that does not exist",
    "The order names a user or a product that does not exist now. Nothing was written.",
    "`errors` names each one. Correct the ids, or create the user or product first.",
)  # fmt: skip
STOCK_HELD = ProblemKind(
    "stock-held", 503, "Others hold the units that are left; nothing was written",
    "Too few units are in stock, but other orders hold some and are not decided yet. Nothing was written.",
    "Send the request again after the seconds in Retry-After, with the same Idempotency-Key.",
    retry_after=1,
)  # fmt: skip


STOPPED = (
    "Orders and products disagree about the stock of product {}, as after a restored backup."
    " It can be ordered again when its stock was counted and changed by hand."
)


class Checkout:
    """The check of new orders."""

    def __init__(self, lookups: Lookups, attempts: Attempts, patience: float) -> None:
        """`patience` is how long an order waits, in seconds, for units that others hold."""
        self._lookups = lookups
        self._attempts = attempts
        self._patience = patience

    def rows(self, orders: Sequence[NewOrder]) -> list[Row | Problem]:
        """Check all `orders` at once. Return the row of each, with the token of its units, or why it is refused.

        Raises:
            Problem: `dependency-unavailable`, or `stock-held` where one item stays held.
        """
        attempt = Attempt((new.product_id, new.quantity) for new in orders)
        try:
            users, products = self._lookups.fetch({new.user_id for new in orders}, (), attempt.items)
            back = []
            for new, item in zip(orders, attempt.items, strict=True):
                if new.user_id not in users:
                    back.append(item)
                else:
                    note_unlimited(item, products)
            if any(item.token is not None or item.is_undecided() for item in attempt.items):
                self._decide(attempt, back, products)
        except BaseException:
            attempt.is_over = True
            self._attempts.give_up(attempt.items)
            raise
        return [self._row(*order, users, products) for order in zip(orders, attempt.items, strict=True)]

    def _decide(self, attempt: Attempt, refused: list[Item], products: Found) -> None:
        """Ask again until each item is reserved, short for good, or takes no units.

        The units of `refused` siblings come back. So they are released before a shortage is believed.
        """
        deadline = time.monotonic() + self._patience
        back = [item for item in refused if item.state is State.RESERVED]
        returned = {item.product_id for item in back}
        for item in refused:
            item.state = State.REFUSED
        for item in attempt.items:
            if item.state is State.SHORT and item.product_id in returned:
                item.state = State.HELD
        while waiting := [item for item in attempt.items if item.is_undecided() and item.product_id in products]:
            if stopped := [item.product_id for item in waiting if item.product_id in self._attempts.stopped]:
                raise Problem(STOCK_HELD, f"{STOPPED.format(stopped[0])} Nothing was written.")
            if time.monotonic() > deadline:
                self._give_up_waiting(waiting)
            gevent.sleep(ASK_AGAIN_S)
            release = [item.token for item in back if item.token is not None]
            products |= self._lookups.fetch((), (), waiting, release)[1]
            for item in back:  # products has released them
                self._attempts.forget(item)
            for item in waiting:
                note_unlimited(item, products)
        self._attempts.give_up(refused)

    def _give_up_waiting(self, waiting: list[Item]) -> None:
        """Raise the problem of a request that has waited for too long."""
        if any(item.state is State.WAITING for item in waiting):
            raise Problem(
                kinds.DEPENDENCY_UNAVAILABLE,
                "Open reservations have not been looked through since the start. Nothing was written.",
            )
        self._attempts.metrics.held.add()
        raise Problem(STOCK_HELD, "Other orders hold the units that are left. Nothing was written.")

    def _row(self, new: NewOrder, item: Item, users: Found, products: Found) -> Row | Problem:
        """Return the row of one order, or why it is refused."""
        # A product that was deleted meanwhile may still be in what was found before.
        product = products.get(new.product_id) if item.state is not State.GONE else None
        if product and new.user_id in users and item.state is not State.SHORT:
            cents = int(product["price"].replace(".", ""))
            return (new.user_id, new.product_id, new.quantity, product["name"], cents, item.token)
        errors = []
        if new.user_id not in users:
            errors.append({"pointer": "/user_id", "detail": f"there is no user {new.user_id}"})
        if not product:
            errors.append({"pointer": "/product_id", "detail": f"there is no product {new.product_id}"})
        if errors:
            return Problem(UNKNOWN_REFERENCE, "Nothing was written.", errors)
        self._attempts.forget(item)
        return Problem(
            kinds.OUT_OF_STOCK, "Nothing was written.", [{"pointer": "/quantity", "detail": left(item.left)}]
        )


def note_unlimited(item: Item, products: Found) -> None:
    """Mark an item that takes no units, because its product is not limited."""
    product = products.get(item.product_id)
    if item.state is State.WAITING and product is not None and product.get("stock") is None:
        item.state = State.UNLIMITED


def left(units: int) -> str:
    """Return the sentence that says how many units are left."""
    if not units:
        return "nothing is left"
    return f"only {units} {'is' if units == 1 else 'are'} left"
