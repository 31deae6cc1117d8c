"""What an Idempotency-Key may store, as a state machine: `short` is stored as 409, `held` is asked again and ends in 503.

One limited product; several requests, each with a key and one or more items. Requests with one key are the same request,
sent again. Products answers a reserve at once: "reserved", "short" (there are too few units, whatever becomes of the open
ones) or "held" (others have the units open). The first commit with a key decides what all of its requests are told.
An item may also name a user who does not exist: orders learns that while products reserves for it.

    State(stock=0, stored=(None,), requests=(
        Request(key=0, told="", items=(Entry(quantity=1, user_exists=True, units="open", answer="reserved"),)),
        Request(key=0, told="", items=(Entry(quantity=1, user_exists=True, units="absent", answer="held"),))))
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .search import Case
from .state import ABSENT, OPEN, SOLD

RESERVED, SHORT, HELD = "reserved", "short", "held"
CREATED, OUT_OF_STOCK, UNKNOWN_REFERENCE, TRY_LATER = "201", "409", "422", "503"

PROTOCOL = "short where stock and what others hold are too little, else held"
ALWAYS_SHORT = "every shortage is 409 and stored"
NEVER_STORED = "every shortage is 409 and not stored"
SAME_KEY = "held only while a request of the same key holds units"
COUNTS_OWN = "a batch counts its own tokens as held"
FORGETS_REFUSED = "a batch counts the units of its own refused items as gone"

TWO_ANSWERS = "one key was told two things, or has another order than it was told"
SOLD_TOO_LITTLE = "told out-of-stock, and at rest there was enough"
WAITS_FOR_ITSELF = "a request is held by nobody but itself"


class Entry(NamedTuple):
    """An item of a request; `answer` is what products said last."""

    quantity: int
    user_exists: bool = True
    units: str = ABSENT
    answer: str = ""


class Request(NamedTuple):
    """One try of a request. `told` is the status of each item, or 503 for all."""

    key: int
    items: tuple[Entry, ...]
    told: tuple[str, ...] = ()
    ordered: bool = False


class State(NamedTuple):
    stock: int
    stored: tuple[tuple[str, ...] | None, ...]
    requests: tuple[Request, ...]


class Keys:
    """All that may happen to `requests` (a key and its items) under a rule for what is short."""

    def __init__(self, rule: str, requests: Sequence[tuple[int, tuple[Entry, ...]]], stock: int) -> None:
        self.rule = rule
        keys = 1 + max(key for key, _ in requests)
        self.first = State(stock, (None,) * keys, tuple(Request(key, items) for key, items in requests))

    def moves(self, state: State) -> Iterator[tuple[str, State]]:
        for index, request in enumerate(state.requests):
            who = f"{'ABC'[index]} (key {request.key + 1})"
            for label, new in self._request_moves(state, index, request):
                yield f"{who} {label}", new

    def _request_moves(self, state: State, index: int, request: Request) -> Iterator[tuple[str, State]]:
        if request.told:
            yield from settle(state, index, request)
            return
        asked, stock = self._ask(state, index, request)
        if asked != request:
            yield f"asks: {', '.join(entry.answer for entry in asked.items)}", put(state, index, asked, stock)
        yield from release_refused(state, index, request)
        if all(entry.answer in (RESERVED, SHORT) or not entry.user_exists for entry in request.items):
            yield self._commit(state, index, request)
        yield (
            "fails, is killed or loses patience: 503",
            put(state, index, request._replace(told=(TRY_LATER,)), state.stock),
        )

    def _ask(self, state: State, index: int, request: Request) -> tuple[Request, int]:
        """Return the request after products answered, in one transaction, what it has not reserved yet; and the stock."""
        stock, items = state.stock, list(request.items)
        for at, entry in enumerate(items):
            if entry.answer not in ("", HELD):
                continue
            if stock >= entry.quantity:
                stock -= entry.quantity
                items[at] = entry._replace(units=OPEN, answer=RESERVED)
            else:
                now = put(state, index, request._replace(items=tuple(items)), stock)
                items[at] = entry._replace(answer=HELD if self._is_held(now, index, entry.quantity) else SHORT)
        return request._replace(items=tuple(items)), stock

    def _is_held(self, state: State, index: int, quantity: int) -> bool:
        """Return whether a shortage may end: units are open that may come back."""
        key = state.requests[index].key
        others = [each for at, each in enumerate(state.requests) if at != index]
        held = {
            ALWAYS_SHORT: 0,
            NEVER_STORED: 0,
            SAME_KEY: sum(open_units(each) for each in others if each.key == key) and quantity,
            COUNTS_OWN: sum(map(open_units, state.requests)),
            FORGETS_REFUSED: sum(map(open_units, others)),
            PROTOCOL: may_come_back(state, index),
        }[self.rule]
        return held > 0 and state.stock + held >= quantity

    def _commit(self, state: State, index: int, request: Request) -> tuple[str, State]:
        decided = state.stored[request.key]
        if decided:
            return "finds its key decided", put(state, index, request._replace(told=decided), state.stock)
        told = tuple(map(status, request.items))
        stored = state.stored
        if not (self.rule == NEVER_STORED and OUT_OF_STOCK in told):
            stored = (*stored[: request.key], told, *stored[request.key + 1 :])
        new = put(state, index, request._replace(told=told, ordered=CREATED in told), state.stock)
        return f"commits: {', '.join(told)}", new._replace(stored=stored)

    def violation(self, state: State, following: Sequence[tuple[str, State]]) -> str | None:
        for key in range(len(state.stored)):
            mine = [each for each in state.requests if each.key == key and each.told not in ((), (TRY_LATER,))]
            orders = sum(each.ordered for each in mine)
            if len({each.told for each in mine}) > 1 or orders != any(CREATED in each.told for each in mine):
                return TWO_ANSWERS
        for index, request in enumerate(state.requests):
            for entry, told in zip(request.items, request.told, strict=False):
                if not following and told == OUT_OF_STOCK and entry.quantity <= state.stock:
                    return SOLD_TOO_LITTLE
            for entry in request.items if not request.told else ():
                too_little = state.stock + may_come_back(state, index) < entry.quantity
                if entry.answer == HELD and too_little and self._is_held(state, index, entry.quantity):
                    return WAITS_FOR_ITSELF
        return None


def may_come_back(state: State, index: int) -> int:
    """Return the units that others hold, and those of own items that will not be ordered for another reason."""
    others = sum(open_units(each) for at, each in enumerate(state.requests) if at != index)
    refused = sum(each.quantity for each in state.requests[index].items if each.units == OPEN and not each.user_exists)
    return others + refused


def open_units(request: Request) -> int:
    return sum(entry.quantity for entry in request.items if entry.units == OPEN)


def status(entry: Entry) -> str:
    if not entry.user_exists:
        return UNKNOWN_REFERENCE
    return CREATED if entry.answer == RESERVED else OUT_OF_STOCK


def settle(state: State, index: int, request: Request) -> Iterator[tuple[str, State]]:
    """Yield the confirm or release of each open item of a request that was answered."""
    for at, entry in enumerate(request.items):
        if entry.units == OPEN:
            sold = request.ordered and request.told[at] == CREATED
            changed = entry._replace(units=SOLD if sold else ABSENT)
            items = (*request.items[:at], changed, *request.items[at + 1 :])
            stock = state.stock if sold else state.stock + entry.quantity
            yield (
                f"is settled: {'sold' if sold else 'released'}",
                put(state, index, request._replace(items=items), stock),
            )


def release_refused(state: State, index: int, request: Request) -> Iterator[tuple[str, State]]:
    """Yield the release of what was reserved for an item whose user does not exist."""
    for at, entry in enumerate(request.items):
        if entry.units == OPEN and not entry.user_exists:
            items = (*request.items[:at], entry._replace(units=ABSENT), *request.items[at + 1 :])
            changed = put(state, index, request._replace(items=items), state.stock + entry.quantity)
            yield "releases what it reserved for an unknown user", changed


def put(state: State, index: int, request: Request, stock: int) -> State:
    return State(stock, state.stored, (*state.requests[:index], request, *state.requests[index + 1 :]))


ONE = (Entry(1),)
TWO_UNITS = (Entry(2),)
BATCH = (Entry(1), Entry(1))
UNKNOWN_USER = (Entry(1, user_exists=False),)
BATCH_WITH_UNKNOWN_USER = (Entry(1, user_exists=False), Entry(1))


def holds(name: str, *requests: tuple[int, tuple[Entry, ...]]) -> tuple[Case, ...]:
    return tuple(Case(f"keys: {name}, stock {stock}", Keys(PROTOCOL, requests, stock)) for stock in (1, 2))


SIZES = (
    *holds("one key, sent three times", (0, ONE), (0, ONE), (0, ONE)),
    *holds("two keys, one sent twice", (0, ONE), (0, ONE), (1, ONE)),
    *holds("three keys", (0, ONE), (1, ONE), (2, ONE)),
    *holds("orders of one and of two units", (0, ONE), (1, TWO_UNITS), (2, ONE)),
    *holds("a batch sent twice, and an order", (0, BATCH), (0, BATCH), (1, ONE)),
    *holds("a batch with an unknown user, and an order", (0, BATCH_WITH_UNKNOWN_USER), (1, ONE)),
    *holds("an order of an unknown user, and two others", (0, UNKNOWN_USER), (1, ONE), (2, ONE)),
)

VARIANTS = (
    Case(
        f"keys: {ALWAYS_SHORT}",
        Keys(ALWAYS_SHORT, ((0, ONE), (0, ONE)), 1),
        SOLD_TOO_LITTLE,
        "The open units may come back, and then a unit stays unsold that somebody was told is not there.",
    ),
    Case(
        f"keys: {NEVER_STORED}",
        Keys(NEVER_STORED, ((0, ONE), (0, ONE)), 1),
        TWO_ANSWERS,
        "The same request, sent twice, is told 409 by one try and gets its order by the other.",
    ),
    Case(
        f"keys: {SAME_KEY}",
        Keys(SAME_KEY, ((0, ONE), (1, ONE)), 1),
        SOLD_TOO_LITTLE,
        "Units that another key holds may come back just as well.",
    ),
    Case(
        f"keys: {COUNTS_OWN}",
        Keys(COUNTS_OWN, ((0, BATCH),), 1),
        WAITS_FOR_ITSELF,
        "The second item waits for the units of the first, which are released only when the batch has failed.",
    ),
    Case(
        f"keys: {FORGETS_REFUSED}",
        Keys(FORGETS_REFUSED, ((0, BATCH_WITH_UNKNOWN_USER),), 1),
        SOLD_TOO_LITTLE,
        "Units that were reserved for an item of the same batch come back where that item is refused (an unknown user).",
    ),
)
