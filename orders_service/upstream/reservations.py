"""Stock at products: units are reserved, confirmed and released in one call, and listed page by page."""

import json
from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import urlencode

from pydantic import TypeAdapter

from .attempts import Attempts, Item, Settlement, State
from .client import Found, Remote
from .pages import Exchanged, Stock, Taken, TakenPage

MOST = 500  # ids in one call, and tokens to reserve, and tokens to settle: products accepts 500 and 1000
PAGE = 1000  # reservations or sales in one answer

EXCHANGED = TypeAdapter(Exchanged)
TAKEN = TypeAdapter(TakenPage)
STOCK = TypeAdapter(Stock)


class Reservations:
    """The reservations at products. A known token changes nothing there, so each call may be repeated."""

    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts

    def exchange(
        self, remote: Remote, ids: Collection[int], items: Sequence[Item], release: Sequence[str], request_id: str
    ) -> Found:
        """Reserve for `items`, and settle what is due before that. Return the products of `ids` and of `items`.

        `release` are tokens of siblings, released before `items` are asked for. Raises Unanswered.
        """
        settlements = self._attempts.take(MOST - len(release))
        try:
            return self._exchange(remote, ids, items, settlements, release, request_id)
        except BaseException:
            self._attempts.put_back(settlements)
            raise

    def settle(self, remote: Remote) -> bool:
        """Settle what is due, or a part of it. Return False where nothing was. Raises Unanswered."""
        settlements = self._attempts.take(2 * MOST)
        if not settlements:
            return False
        try:
            self._exchange(remote, (), (), settlements, (), "")
        except BaseException:
            self._attempts.put_back(settlements)
            raise
        return True

    def _exchange(
        self,
        remote: Remote,
        ids: Collection[int],
        items: Sequence[Item],
        settlements: list[Settlement],
        release: Sequence[str],
        request_id: str,
    ) -> Found:
        asked = sorted(ids)
        bodies = []
        for first in range(0, max(len(asked), len(items), 1), MOST):
            body: dict[str, Any] = {
                "ids": asked[first : first + MOST],
                "reserve": [
                    {"token": self._attempts.mint(item), "product_id": item.product_id, "quantity": item.quantity}
                    for item in items[first : first + MOST]
                ],
            }
            if not first:
                body["confirm"] = [each.token for each in settlements if each.is_sold]
                body["release"] = [*release, *(each.token for each in settlements if not each.is_sold)]
            bodies.append(json.dumps(body, separators=(",", ":")).encode())
        found: Found = {}
        unknown: set[str] = set()
        for part, answer in enumerate(remote.post("/reservations", bodies, EXCHANGED, request_id)):
            told: Found = {product["id"]: dict(product) for product in answer["items"]}
            short = {each["token"]: each["left"] for each in answer["short"]}
            held = set(answer["held"])
            for item in items[part * MOST : (part + 1) * MOST]:
                self._answered(item, told.get(item.product_id), short, held)
            found |= told
            unknown.update(answer["unknown"])
        self._attempts.acknowledge(settlements, unknown)
        return found

    def _answered(self, item: Item, product: dict[str, Any] | None, short: dict[str, int], held: set[str]) -> None:
        if product is None or product.get("stock") is None:  # gone, or not limited any more
            self._attempts.forget(item)
            item.state = State.GONE if product is None else State.UNLIMITED
        elif item.token in short:
            item.state, item.left = State.SHORT, short[item.token]
        elif item.token in held:
            item.state = State.HELD
        else:
            item.state = State.RESERVED

    def listed(self, remote: Remote) -> list[Taken]:
        """Return all open reservations. Raises Unanswered."""
        found: list[Taken] = []
        after = ""
        while True:
            page = remote.read(f"/reservations?{urlencode({'after': after, 'limit': PAGE})}", TAKEN)
            found += page["items"]
            if not page["items"] or page["next"] is None:
                return found
            after = page["items"][-1]["token"]

    def sold(self, remote: Remote, after: str) -> list[Taken]:
        """Return a page of sales by token. Raises Unanswered."""
        return remote.read(f"/reservations?{urlencode({'sold_after': after, 'limit': PAGE})}", TAKEN)["items"]

    def additions(self, remote: Remote, product_id: int) -> int | None:
        """Return how often the stock of a product was changed by hand; None where it is gone. Raises Unanswered."""
        if not remote.get([product_id], ""):
            return None
        return remote.read(f"/{product_id}/stock", STOCK)["additions"]
