"""The attempts of this process: the tokens of their reservations, which of them are live, and how the others ended.

An attempt is one try of a request. Each of its items that takes units from stock has a token,
`<owner>.<attempt>.<item>`. A token is live from before its reserve is sent until it is certain whether an order has
it. Then it is settled: products is told to confirm or to release it.
"""

import time
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from enum import Enum
from typing import Any, NamedTuple

from gevent.event import Event
from prometheus_client import CollectorRegistry

from service_common.storage.database import Answer, Row
from service_common.storage.errors import OutcomeUnknown

from .metrics import StockMetrics


class State(Enum):
    """The state of an item, as products answered last."""

    WAITING = "not asked yet, or no answer yet"
    UNLIMITED = "takes no units"
    GONE = "its product does not exist any more"
    RESERVED = "its units are reserved"
    HELD = "others hold units that may come back"
    SHORT = "too few units are left"
    REFUSED = "its order is refused for another reason"


class Item:
    """Units that an order wants of a product."""

    __slots__ = ("attempt", "left", "place", "product_id", "quantity", "state", "token")

    def __init__(self, attempt: "Attempt", place: int, product_id: int, quantity: int) -> None:
        self.attempt = attempt
        self.place = place  # in the batch
        self.product_id = product_id
        self.quantity = quantity
        self.state = State.WAITING
        self.left = 0  # units in stock, where it is short
        self.token: str | None = None  # where units were asked for

    def is_undecided(self) -> bool:
        """Tell whether products has to be asked again."""
        return self.state is State.WAITING or self.state is State.HELD


class Attempt:
    """One try of a request, with an item for each order that it asks for."""

    __slots__ = ("is_over", "items", "name", "owner")

    def __init__(self, wanted: Iterable[tuple[int, int]]) -> None:
        """`wanted` are products and quantities."""
        self.items = [Item(self, place, *units) for place, units in enumerate(wanted)]
        self.owner = self.name = ""
        self.is_over = False  # it will write no order


class Settlement(NamedTuple):
    """The end of a token that products does not know of yet."""

    token: str
    product_id: int
    is_sold: bool  # confirm it; otherwise release it


class Attempts:
    """The attempts of this process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.owner: str | None = None  # in whose name units are reserved; None: nothing can be reserved now
        self.settlement_due = Event()
        self.unknown: dict[str, int] = {}  # live tokens whose COMMIT may have succeeded, and their products
        self.missed: dict[str, int] = {}  # tokens of orders that products does not know, and their products
        self.stopped: set[int] = set()  # products of which nothing may be reserved, see stock/reconciliation.py
        self._live: dict[str, int] = {}  # live tokens, and their products
        self._due: deque[Settlement] = deque()
        self._sent: dict[str, Settlement] = {}  # taken, and not acknowledged
        self._taken_at = 0.0  # monotonic; when settlements were last taken
        self._count = 0
        self.metrics = StockMetrics(registry, lambda: len(self._live), lambda: len(self.stopped))

    def mint(self, item: Item) -> str:
        """Give an item its token, unless it has one, and make it live. There must be an owner."""
        assert self.owner is not None
        if item.token is None:
            attempt = item.attempt
            if attempt.owner != self.owner:
                self._count += 1
                attempt.owner, attempt.name = self.owner, f"{self.owner}.{self._count}"
            item.token = f"{attempt.name}.{item.place}"
            self._live[item.token] = item.product_id
        return item.token

    def forget(self, item: Item) -> None:
        """Drop the token of an item that takes no units. If a reserve of it is late after all, a sweep releases it."""
        if item.token is not None:
            self._live.pop(item.token, None)
            item.token = None

    def give_up(self, items: Iterable[Item]) -> None:
        """Release what was reserved for items whose orders were never sent to the database."""
        for item in items:
            if item.token is not None:
                self._settle(item.token, is_sold=False)
                item.token = None

    def ended(self, rows: Sequence[Row], outcome: Any, error: Exception | None) -> None:
        """Settle the tokens of a write that will not run from here on. The token is the last value of each row."""
        for row in rows:
            if (token := row[-1]) is None:
                continue
            if isinstance(error, OutcomeUnknown):
                self.unknown[token] = self._live.get(token, 0)
            else:  # another outcome than an Answer is that of an earlier request with the same key
                self._settle(token, is_sold=error is None and isinstance(outcome, Answer))

    def judge(self, tokens: Iterable[str], ordered: Collection[str]) -> None:
        """Settle tokens whose outcome was unknown before a transaction took the turn, which found `ordered`."""
        for token in tokens:
            self.unknown.pop(token, None)
            self._settle(token, is_sold=token in ordered)

    def _settle(self, token: str, is_sold: bool) -> None:
        if (product_id := self._live.pop(token, None)) is not None:
            self.settle(Settlement(token, product_id, is_sold))

    def settle(self, settlement: Settlement) -> None:
        """Have products told of the end of a token."""
        self._due.append(settlement)
        self.settlement_due.set()

    def take(self, most: int) -> list[Settlement]:
        """Take settlements to be sent. `acknowledge` or `put_back` must follow."""
        self._taken_at = time.monotonic()
        taken = [self._due.popleft() for _ in range(min(most, len(self._due)))]
        self._sent.update((each.token, each) for each in taken)
        if not self._due:
            self.settlement_due.clear()
        return taken

    def are_waiting(self, seconds: float, most: int) -> bool:
        """Tell whether settlements have waited for so long, or are more than `most`."""
        return len(self._due) > most or (bool(self._due) and time.monotonic() - self._taken_at >= seconds)

    def acknowledge(self, settlements: Iterable[Settlement], unknown: Collection[str]) -> None:
        """Forget settlements that products has answered. Of `unknown` tokens it should know, and does not."""
        for each in settlements:
            self._sent.pop(each.token, None)
            if each.token in unknown:
                self.missed[each.token] = each.product_id
                self.stopped.add(each.product_id)
            self.metrics.settled.add("confirmed" if each.is_sold else "released")

    def put_back(self, settlements: Iterable[Settlement]) -> None:
        """Have settlements sent again, whose sending failed."""
        for each in settlements:
            self._sent.pop(each.token, None)
            self.settle(each)

    def known(self) -> set[str]:
        """Return the tokens that this process will settle without a sweep: live ones, and those not yet settled."""
        return {*self._live, *self._sent, *(each.token for each in self._due)}

    def may_write(self) -> bool:
        """Tell whether an order with a token may still be sent to the database, or is queued there."""
        return len(self._live) > len(self.unknown)

    def all_settled(self) -> bool:
        """Tell whether nothing is live and nothing is left to be settled."""
        return not (self._live or self._due or self._sent)
