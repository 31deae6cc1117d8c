"""Reconciliation: what a restored backup has left behind is found, and stops orders of that product.

Two things contradict: an order whose token products does not know, and a sale whose token no order has. Without a
backup that was restored neither can be. Each is written down and logged once. From then on no unit of the product is
reserved, until somebody has counted and changed its stock by hand with `POST /products/{id}/stock`.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from service_common.storage.database import Database, Execute, Procedure, Row, Write

from ..upstream.attempts import Attempts
from ..upstream.client import Remote
from ..upstream.reservations import PAGE, Reservations
from .owners import ordered

log = logging.getLogger("stock")


@dataclass(slots=True)
class Note(Procedure):
    """Write contradictions down. The result is those that are new."""

    found: list[Row]  # a token, its product, and how often the product's stock had been changed by hand

    def run(self, execute: Execute) -> list[Row]:
        return [
            row
            for row in self.found
            if execute(
                "INSERT INTO contradictions (token, product_id, additions) VALUES (?, ?, ?)"
                " ON CONFLICT (token) DO NOTHING RETURNING token",
                row,
            )
        ]


class Reconciliation:
    """The comparison of orders and sales, a page of sales at a time, and the products that it has stopped."""

    def __init__(self, attempts: Attempts, database: Database, reservations: Reservations, remote: Remote) -> None:
        self._attempts = attempts
        self._database = database
        self._reservations = reservations
        self._remote = remote
        self._after = ""  # the last sale that was compared
        self._stopped_at: dict[int, int] = {}  # by product, how often its stock had been changed
        self._cleared: dict[int, int] = {}  # the same of products that may be sold again

    def once(self) -> None:
        """Compare the next sales, and look whether stopped products may be sold again.

        Raises:
            Unanswered, StorageError: not all could be compared now.
        """
        missed = list(self._attempts.missed.items())
        self._note([*missed, *self._lost()])
        for token, _ in missed:
            del self._attempts.missed[token]
        for product, additions in list(self._stopped_at.items()):
            if self._reservations.additions(self._remote, product) != additions:
                self._cleared[product] = self._stopped_at.pop(product)
                if product in self._attempts.stopped:
                    log.warning(
                        "product %d can be ordered again: its stock was changed by hand, or it is gone", product
                    )
        self._attempts.stopped = {*self._stopped_at, *self._attempts.missed.values()}

    def _lost(self) -> list[tuple[str, int]]:
        """Return the tokens of the next sales that no order has, with their products.

        The sales are read first: a sale is only made for an order that was committed.
        """
        sales = self._reservations.sold(self._remote, self._after)
        self._after = sales[-1]["token"] if len(sales) == PAGE else ""
        if not sales:
            return []
        found = ordered(self._database.read, [sale["token"] for sale in sales])
        return [(sale["token"], sale["product_id"]) for sale in sales if sale["token"] not in found]

    def _note(self, found: Sequence[tuple[str, int]]) -> None:
        """Write down what is new, and read which products are stopped, also those that another process has stopped."""
        known = {token for (token,) in self._database.read("SELECT token FROM contradictions")} if found else set()
        new = [(token, product) for token, product in found if token not in known]
        additions = {
            product: self._reservations.additions(self._remote, product) or 0 for product in {each[1] for each in new}
        }
        rows = [(token, product, additions[product]) for token, product in new]
        for token, product, _ in self._database.write(Write(Note(rows), rows=len(rows))) if rows else ():
            self._attempts.metrics.unreconciled.add()
            log.error(
                "reservation %s of product %d is in orders or in sales, but not in both: a backup was restored."
                " Limited orders of the product are refused until its stock was changed by hand",
                token, product,
            )  # fmt: skip
        stopped = self._database.read("SELECT product_id, max(additions) FROM contradictions GROUP BY product_id")
        self._stopped_at = {
            product: int(additions) for product, additions in stopped if self._cleared.get(product) != additions
        }
