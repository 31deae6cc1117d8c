"""The stock protocol as a machine: the moves of processes and of their rows, and the promises."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from .moves import attempt_moves, tidy
from .state import (
    ABSENT,
    COMMITTED,
    CREATED,
    DEAD,
    DENIED,
    GONE,
    IDLE,
    IN_TURN,
    LIVE,
    LIVE_SET,
    LOST,
    NEVER,
    NONE,
    NOT_ORDERED,
    OFF,
    OPEN,
    OVERSOLD,
    PRESENT,
    REFUSED,
    REMOVED,
    ROWS,
    RUNS,
    SOLD,
    STUCK,
    UNREGISTERED,
    WAITS,
    WITHOUT_UNIT,
    Attempt,
    Item,
    Owner,
    Rules,
    State,
    Sweep,
    is_live,
    is_ordered,
)

T = TypeVar("T")
Plan = tuple[int, ...]

OwnerChange = tuple[str, Owner, int, Plan | None]  # a label, the owner after it, units given back, the plan started


class StockProtocol:
    """All that may happen to attempts of the quantities `plans`, with `owners` runs of processes and `supply` units.

    `changes` are units that `POST …/stock` adds or takes away at any moment. With `only`, other violations are passed over.
    """

    def __init__(
        self,
        rules: Rules,
        plans: Sequence[Plan],
        owners: int = 2,
        supply: int = 2,
        changes: Sequence[int] = (),
        only: str | None = None,
    ) -> None:
        self.rules = rules
        self._only = only
        self.first = State(
            supply, supply, tuple(sorted(changes)), tuple(sorted(plans)), (Owner(UNREGISTERED, OFF, ()),) * owners
        )
        self._owner_moves: dict[tuple[Owner, int, tuple[Plan, ...]], tuple[OwnerChange, ...]] = {}
        self._units: dict[tuple[Owner, int], tuple[int, int, str | None]] = {}

    def moves(self, state: State) -> Iterator[tuple[str, State]]:
        stock, supply, changes, plans, owners = state
        for index, owner in enumerate(owners):
            others = owners[:index] + owners[index + 1 :]
            key = owner, stock, plans
            if key not in self._owner_moves:
                self._owner_moves[key] = tuple(owner_moves(self.rules, *key))
            for label, new, freed, plan in self._owner_moves[key]:
                left = without(plans, plan) if plan else plans
                yield label, State(stock + freed, supply, changes, left, tuple(sorted((*others, new))))
        for change in sorted(set(changes)):
            if stock + change >= 0:
                yield (
                    f"stock changes by {change}",
                    State(stock + change, supply + change, without(changes, change), plans, owners),
                )

    def violation(self, state: State, following: Sequence[tuple[str, State]] = ()) -> str | None:
        ordered = held = 0
        for owner in state.owners:
            key = owner, state.stock
            if key not in self._units:
                self._units[key] = inspect(self.rules, *key)
            orders, units, broken = self._units[key]
            if broken and self._only in (None, broken):
                return broken
            ordered += orders
            held += units
        if ordered > state.supply:
            return OVERSOLD
        return None if state.stock + held == state.supply else LOST


def inspect(rules: Rules, owner: Owner, stock: int) -> tuple[int, int, str | None]:
    """Return the units in an owner's orders, the units its tokens hold at products, and the promise that is broken."""
    ordered = held = 0
    broken = None
    for attempt in owner.attempts:
        if attempt.phase == REFUSED and attempt.transaction == COMMITTED:
            broken = DENIED
        for item in attempt.items:
            if is_ordered(attempt, item):
                ordered += item.quantity
                broken = WITHOUT_UNIT if item.units == ABSENT else broken
            elif item.units == SOLD:
                broken = NOT_ORDERED
            if item.units != ABSENT:
                held += item.quantity
            may_be_open = item.units == OPEN or (item.units == ABSENT and stock >= item.quantity)
            if may_be_open and is_stuck(rules, owner, attempt, item):
                broken = STUCK  # a reserve may arrive last of all, after each release
    return ordered, held, broken


def is_stuck(rules: Rules, owner: Owner, attempt: Attempt, item: Item) -> bool:
    """Return whether no sweep will look at a token whose attempt is over."""
    if owner.process == RUNS:
        return not rules.own_sweep and not is_live(attempt, item)
    return owner.process == GONE and (not rules.far_sweep or item.far == NEVER)


def owner_moves(rules: Rules, owner: Owner, stock: int, plans: tuple[Plan, ...]) -> Iterator[OwnerChange]:
    row, process, attempts = owner
    for index, attempt in enumerate(attempts):
        for label, new, freed in attempt_moves(rules, attempt, owner, stock):
            changed = (*attempts[:index], tidy(new), *attempts[index + 1 :])
            yield label, Owner(row, process, tuple(sorted(changed))), freed, None
    if process == OFF:
        yield "a process starts", Owner(PRESENT if rules.registers_before_reserving else row, RUNS, ()), 0, None
    if process == RUNS and row == UNREGISTERED:
        yield "its row is committed", Owner(PRESENT, RUNS, attempts), 0, None
    if process == RUNS:
        for plan in sorted(set(plans)):
            for label, attempt in starts(rules, plan):
                yield label, Owner(row, process, tuple(sorted((*attempts, attempt)))), 0, plan
        yield "kill -9", ended(rules, owner, DEAD), 0, None
        if row == REMOVED:
            yield "the removed process notices, answers all and registers anew", ended(rules, owner, REFUSED), 0, None
    turn_is_taken = rules.assertion == "in the turn" and any(each.transaction == IN_TURN for each in attempts)
    if row == PRESENT and not turn_is_taken:
        alive = "lives" if process == RUNS else "is dead"
        yield f"its row is removed; the process {alive}", Owner(REMOVED, process, attempts), 0, None


def starts(rules: Rules, plan: Plan) -> Iterator[tuple[str, Attempt]]:
    """Yield the attempts that may start. A sweep that reads its list late has read something else before they did."""
    yield "an attempt starts", Attempt(WAITS, NONE, tuple(map(Item, plan)))
    if rules.own_sweep[:1] == (LIVE_SET,):
        early = tuple(Item(quantity, own=Sweep(1)) for quantity in plan)
        yield "own sweep reads what is live, then an attempt starts", Attempt(WAITS, NONE, early)
    if rules.far_sweep[:1] == (ROWS,):
        early = tuple(Item(quantity, far=Sweep(1)) for quantity in plan)
        yield (
            "far sweep reads the owners, then the owner's row comes and an attempt starts",
            Attempt(WAITS, NONE, early),
        )


def ended(rules: Rules, owner: Owner, phase: str) -> Owner:
    """Return the owner whose process is gone. One that was removed first tells its clients what became of their orders."""
    attempts = []
    for attempt in owner.attempts:
        told = attempt.phase
        if told in LIVE:
            reads_order = rules.removed_process_reads_orders and attempt.transaction == COMMITTED
            told = CREATED if phase == REFUSED and reads_order else phase
        items = tuple(item._replace(own=IDLE) for item in attempt.items)
        attempts.append(tidy(Attempt(told, attempt.transaction, items)))
    return Owner(owner.row, GONE, tuple(sorted(attempts)))


def without(values: tuple[T, ...], one: T) -> tuple[T, ...]:
    """Return the values less the first that equals `one`."""
    index = values.index(one)
    return values[:index] + values[index + 1 :]
