"""The operations of one run, and the budget of writes that its load may make."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from gevent.event import Event

from ..audit.ledger import Ledger
from ..settings import SERVICES
from .operation import Op
from .scenario import Scenario


class Budget:
    """The writes that a load may make; a limit of None means any number."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.taken = 0
        self.exhausted = Event()
        if limit == 0:
            self.exhausted.set()

    def take(self, wanted: int = 1) -> int:
        """Return how many of `wanted` more writes may be made; 0 when the budget is used up."""
        granted = wanted if self.limit is None else min(wanted, self.limit - self.taken)
        self.taken += granted
        if self.taken == self.limit:
            self.exhausted.set()
        return granted


@dataclass(slots=True)
class Tally:
    """Writes of one service so far. The others have no answer yet: they are in flight, or wait to be sent again."""

    attempted: int = 0
    acknowledged: int = 0
    refused: int = 0
    in_flight: int = 0
    unanswered: int = 0


MOST_UNITS = 3  # of a limited product in one order, so that many can get some


@dataclass(slots=True)
class OwnUser:
    """A user to order for: of one virtual user alone, or hot."""

    id: int
    orders: int = 0
    limited: int = 0  # orders of limited products

    def next_quantity(self) -> int:
        """Return a quantity that no other order of this user has, so that (user, product, quantity) is one order."""
        self.orders += 1
        return self.orders

    def may_order(self, limited: Sequence[int]) -> bool:
        """Tell whether an order of one of these limited products is left that this user has not made."""
        return self.limited < MOST_UNITS * len(limited)

    def next_limited(self, limited: Sequence[int]) -> tuple[int, int]:
        """Return a limited product, and a small quantity with which this user has not ordered it."""
        turn, place = divmod(self.limited, len(limited))
        self.limited += 1
        return limited[(self.id + place) % len(limited)], turn + 1


class Workload:
    """Makes the operations of one run and keeps count of them."""

    def __init__(
        self, mark: str, ledger: Ledger, scenario: Scenario, budget: Budget, flaw: Callable[[str], None]
    ) -> None:
        """Begin the ledger.

        Args:
            mark: a text that the names and e-mail addresses of this run hold, and no other run's.
            ledger: a new one.
            scenario: the kinds of action are its.
            budget: of the load; the sample data is not counted.
            flaw: is called with a reason why there can be no verdict.

        Raises:
            OSError: the ledger cannot be written.
        """
        self.mark = mark
        self.ledger = ledger
        self.scenario = scenario
        self.budget = budget
        self.flaw = flaw
        self.tallies = {service: Tally() for service in SERVICES}
        self.open: dict[int, Op] = {}  # writes whose fate is not known yet
        self.first_ids: dict[str, int] = {}  # by service: no id of this run is smaller
        self.hot_users: list[OwnUser] = []  # that all virtual users order for
        self.hot_products: list[int] = []  # that all virtual users order and race for
        self.stocked: list[Op] = []  # the writes of the sample's products with a stock
        self.limited: list[int] = []  # products with a stock; the virtual users order them in small quantities
        self._numbers = 0
        self._unused = list(scenario.actions)
        ledger.write({"event": "run", "run": mark, "kinds": self._unused})

    def unused_kind(self) -> str | None:
        """Return a kind of action that has not begun yet, so that even a short run tries every one; None: none left."""
        return self._unused.pop() if self._unused else None

    def next_number(self) -> int:
        """Return the number of the next operation; each is used once."""
        self._numbers += 1
        return self._numbers

    def write_op(
        self, service: str, action: str, body: Any, expects: str | list[str] = "ok", *, number: int | None = None
    ) -> Op:
        """Return a POST to a collection under a new key; to its batch where `expects` is a list."""
        path = f"/{service}/batch" if isinstance(expects, list) else f"/{service}"
        return Op(number or self.next_number(), service, action, "POST", path, body, str(uuid4()), expects)

    def read_op(self, service: str, action: str, path: str, reads: tuple[int, int] | None = None) -> Op:
        """Return a GET; `reads` is the write that it must show."""
        return Op(self.next_number(), service, action, "GET", path, reads=reads)

    def stock_op(self, product: int, units: int) -> Op:
        """Return a POST that adds to the stock of a product; where it takes units away, there may be too few."""
        path, body = f"/products/{product}/stock", {"add": units}
        expects = "ok" if units > 0 else "any"
        return Op(self.next_number(), "products", "add_stock", "POST", path, body, str(uuid4()), expects)

    def patch_op(self, service: str, action: str, id: int, body: Any, etag: str) -> Op:
        """Return a PATCH that names the version `etag`, in a race with others."""
        path = f"/{service}/{id}"
        return Op(self.next_number(), service, action, "PATCH", path, body, expects="any", if_match=etag)

    def attempted(self, op: Op) -> None:
        """Count a write that is about to be sent for the first time."""
        self.tallies[op.service].attempted += op.size

    def update(self, op: Op) -> None:
        """Take in what is known of a write now."""
        if op.fate == "unknown":
            self.open[op.number] = op
            return
        self.open.pop(op.number, None)
        if not op.counted:
            op.counted = True
            accepted = op.accepted(op.answer) if op.answer else 0
            self.tallies[op.service].acknowledged += accepted
            self.tallies[op.service].refused += op.size - accepted

    def count_open(self) -> dict[str, Tally]:
        """Return the tallies, with the open writes of this moment counted."""
        for tally in self.tallies.values():
            tally.in_flight = tally.unanswered = 0
        for op in self.open.values():
            if op.in_flight:
                self.tallies[op.service].in_flight += op.size
            else:
                self.tallies[op.service].unanswered += op.size
        return self.tallies
