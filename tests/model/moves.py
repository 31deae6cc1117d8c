"""The moves of one attempt: what its process, the orders database, messages and sweeps may do next."""

from collections.abc import Iterator
from itertools import combinations

from .state import (
    ABORTED,
    ABSENT,
    COMMITTED,
    CREATED,
    DEAD,
    FORGOTTEN,
    IDLE,
    IN_TURN,
    LIST,
    LIVE_SET,
    NEVER,
    NONE,
    OPEN,
    ORDERS,
    PENDING,
    PRESENT,
    REFUSED,
    REMOVED,
    RESERVED,
    ROWS,
    RUNS,
    SENT,
    SOLD,
    UNKNOWN,
    WAITS,
    Attempt,
    Item,
    Owner,
    Rules,
    Sweep,
    is_live,
    is_ordered,
)

Change = tuple[str, Attempt, int]  # a label, the attempt after it, and the units that it gives back to the stock

ASSERTED = {
    "in the turn": "the turn is taken, the row asserted, COMMIT sent",
    "plain read": "a plain read finds the row, COMMIT is sent",
    "none": "COMMIT is sent",
}


def attempt_moves(rules: Rules, attempt: Attempt, owner: Owner, stock: int) -> Iterator[Change]:
    if owner.process == RUNS:
        for label, new in process_moves(rules, attempt, owner.row):
            yield label, new, 0
    for label, outcome in database_moves(attempt.transaction, owner.row):
        yield label, attempt._replace(transaction=outcome), 0
    for index, item in enumerate(attempt.items):
        for label, changed, freed in item_moves(rules, attempt, item, owner, stock):
            yield label, attempt._replace(items=(*attempt.items[:index], changed, *attempt.items[index + 1 :])), freed


def process_moves(rules: Rules, attempt: Attempt, row: str) -> Iterator[tuple[str, Attempt]]:
    """Yield what the running process does: it waits, commits, hears of the COMMIT or judges it."""
    phase, transaction, items = attempt
    known = CREATED if transaction == COMMITTED else REFUSED
    if phase == WAITS:
        for chosen in choices(items):
            yield "the answer to reserve arrives", Attempt(RESERVED, transaction, chosen)
    if phase in (WAITS, RESERVED):
        dropped = tuple(item._replace(promised=False) for item in items)
        yield "the process gives up", Attempt(REFUSED, transaction, dropped)
        if not rules.token_for_each_attempt:
            again = tuple(item._replace(promised=False, released=True) for item in items)
            yield "the process gives up, releases, and tries again", Attempt(WAITS, transaction, again)
    if phase == RESERVED and not rules.commit_waits_for_assertion:
        yield "the turn, the assertion and COMMIT are sent at once", Attempt(PENDING, SENT, items)
    elif phase == RESERVED and (row == PRESENT or rules.assertion == "none"):
        yield ASSERTED[rules.assertion], Attempt(PENDING, IN_TURN, items)
    elif phase == RESERVED and row == REMOVED:
        yield "the assertion fails", Attempt(REFUSED, ABORTED, items)
    if phase == PENDING:
        if transaction in (COMMITTED, ABORTED):
            yield "COMMIT is answered", attempt._replace(phase=known)
        yield "the answer to COMMIT is lost", attempt._replace(phase=UNKNOWN)
    if phase == UNKNOWN:
        if rules.unknown_judged == "never":
            yield "the unknown outcome is forgotten", attempt._replace(phase=DEAD)
        elif rules.unknown_judged == "plain read":
            yield "a plain read judges the unknown outcome", attempt._replace(phase=known)
        elif transaction != IN_TURN:  # who has the turn has waited until that COMMIT was decided
            yield "the unknown outcome is judged in a later turn", attempt._replace(phase=known)


def choices(items: tuple[Item, ...]) -> Iterator[tuple[Item, ...]]:
    """Yield the items with each choice of promised ones that the process may order. It drops the others."""
    promised = [index for index, item in enumerate(items) if item.promised]
    for size in range(1, len(promised) + 1):
        for chosen in combinations(promised, size):
            yield tuple(item._replace(promised=index in chosen) for index, item in enumerate(items))


def database_moves(transaction: str, row: str) -> Iterator[tuple[str, str]]:
    """Yield what the orders database does with a transaction that was sent."""
    if transaction == SENT:
        yield "the database takes the turn and asserts the row", IN_TURN if row == PRESENT else ABORTED
    if transaction == IN_TURN:
        yield "COMMIT lands", COMMITTED
        yield "the transaction is rolled back", ABORTED


def item_moves(rules: Rules, attempt: Attempt, item: Item, owner: Owner, stock: int) -> Iterator[tuple[str, Item, int]]:
    """Yield what messages and sweeps do to one token, and the units that it gives back."""
    units, quantity = item.units, item.quantity
    if units in (ABSENT, FORGOTTEN) and stock >= quantity:
        yield "reserve arrives", item._replace(units=OPEN, promised=item.promised or attempt.phase == WAITS), -quantity
    confirmed = item.promised or not rules.only_ordered_tokens_are_confirmed
    if units == OPEN and attempt.transaction == COMMITTED and confirmed:
        yield "confirm arrives", item._replace(units=SOLD if rules.sales_are_kept else FORGOTTEN), 0
    if units == OPEN and item.released:
        yield "release arrives", item._replace(units=ABSENT), quantity
    if units == OPEN and rules.expiry_by_time:
        yield "the reservation expires", item._replace(units=ABSENT), quantity
    if owner.process == RUNS:
        if not item.released and attempt.phase != WAITS and (not item.promised or attempt.phase == REFUSED):
            yield "the process sends a release", item._replace(released=True), 0
        yield from own_sweep(rules, attempt, item)
    yield from far_sweep(rules, attempt, item, owner)


def own_sweep(rules: Rules, attempt: Attempt, item: Item) -> Iterator[tuple[str, Item, int]]:
    """Yield the next read of the sweep that the token's own process makes."""
    for label, sweep, release in next_read("own sweep", rules.own_sweep, item.own, attempt, item, owner_is_there=True):
        yield label, item._replace(own=sweep, released=item.released or release), 0


def far_sweep(rules: Rules, attempt: Attempt, item: Item, owner: Owner) -> Iterator[tuple[str, Item, int]]:
    """Yield the next read of the sweep that another process makes."""
    is_there = owner.row == PRESENT
    for label, sweep, release in next_read("far sweep", rules.far_sweep, item.far, attempt, item, is_there):
        after = sweep if rules.far_sweep_repeats or sweep != IDLE else NEVER
        yield label, item._replace(far=after, released=item.released or release), 0


def next_read(
    name: str, sources: tuple[str, ...], sweep: Sweep, attempt: Attempt, item: Item, owner_is_there: bool
) -> Iterator[tuple[str, Sweep, bool]]:
    """Yield the next read of a sweep, unless it shows that the token is not to be touched; the last read decides."""
    if sweep == NEVER or not sources:
        return
    source = sources[sweep.reads]
    if (
        (source == LIST and item.units != OPEN)
        or (source == LIVE_SET and is_live(attempt, item))
        or (source == ROWS and owner_is_there)
    ):
        return
    saw_order = sweep.saw_order or (source == ORDERS and is_ordered(attempt, item))
    if sweep.reads + 1 < len(sources):
        yield f"{name} reads {source}", Sweep(sweep.reads + 1, saw_order), False
    else:
        yield f"{name} reads {source}: {'confirm' if saw_order else 'release'}", IDLE, not saw_order


def tidy(attempt: Attempt) -> Attempt:
    """Return the attempt without differences that can no longer matter, so that equal futures are equal states."""
    phase, transaction, items = attempt
    if phase != REFUSED and any(item.units == SOLD for item in items):
        phase, transaction = CREATED, COMMITTED
    if phase in (REFUSED, DEAD) and transaction in (NONE, ABORTED):
        phase, transaction = DEAD, ABORTED
        items = tuple(item._replace(promised=False) for item in items)
    return Attempt(phase, transaction, tuple(sorted(tidy_item(item) for item in items)))


def tidy_item(item: Item) -> Item:
    if item.units == SOLD:
        return Item(item.quantity, SOLD, item.promised)
    if item.released and item.far != NEVER:  # a sweep could only send the same release again
        return item._replace(own=IDLE, far=IDLE)
    return item
