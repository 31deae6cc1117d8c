"""Restored backups as a state machine: products or orders goes back to an older copy of its database, and sells on.

One limited product, orders of one unit each. A copy of one database is taken at any moment and restored at any later
one. Its older state is a lie: products may have forgotten sales, orders may have forgotten orders.

    State(stock=1, stopped=False, copy=("products", 1, ("absent", "absent")), tokens=(
        Token(phase="over", units="absent", ordered=True, settled=True),  # sold, and products has forgotten it
        Token(phase="new", units="absent", ordered=False, settled=False)))
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from .search import Case
from .state import ABSENT, OPEN, OVERSOLD, SOLD

NEW, PROMISED, OVER = "new", "promised", "over"
UNSOLD = "at rest, a unit is neither in stock nor in an order"


class Token(NamedTuple):
    """A token: what its attempt knows, products' row, orders' row; `settled`: orders was told that it is confirmed."""

    phase: str = NEW
    units: str = ABSENT
    ordered: bool = False
    settled: bool = False


Copy = tuple[Literal["products"], int, tuple[str, ...]] | tuple[Literal["orders"], int, tuple[bool, ...]]


class State(NamedTuple):
    """`stopped`: limited orders of the product are refused until its stock was set by hand. `restored`: the copy was used."""

    stock: int
    tokens: tuple[Token, ...]
    stopped: bool = False
    copy: Copy | None = None
    restored: bool = False


@dataclass(frozen=True)
class Rules:
    """The rule for operators, in docs/stock.md; a variant changes one field."""

    orders_stops_for_a_restore: bool = True
    all_tokens_are_compared: bool = True  # before orders starts again
    differences_stop_sales: bool = True  # those that sweeps and confirms come across
    stock_is_set_when_nothing_is_open: bool = True
    owner_ids_are_random: bool = True


class Backups:
    """All that may happen to `tokens` orders of one unit while the database `side` is copied and restored once."""

    def __init__(self, rules: Rules, side: str, tokens: int, supply: int) -> None:
        self.rules, self.side, self.supply = rules, side, supply
        self.first = State(supply, (Token(),) * tokens)

    def moves(self, state: State) -> Iterator[tuple[str, State]]:
        for index, token in enumerate(state.tokens):
            for label, new, taken, stops in self._token_moves(state, token):
                tokens = (*state.tokens[:index], new, *state.tokens[index + 1 :])
                yield (
                    f"{'ABC'[index]} {label}",
                    state._replace(stock=state.stock - taken, tokens=tokens, stopped=state.stopped or stops),
                )
        if state.copy is None:
            yield f"a copy of {self.side} is taken", state._replace(copy=self._copy(state))
        elif not state.restored:
            yield f"{self.side} is restored from its copy", self._restore(state)
        nothing_is_open = all(token.units != OPEN for token in state.tokens)
        if state.stopped and (nothing_is_open or not self.rules.stock_is_set_when_nothing_is_open):
            yield "the stock is set by hand", self._set_by_hand(state)

    def _token_moves(self, state: State, token: Token) -> Iterator[tuple[str, Token, int, bool]]:
        """Yield a label, the token after it, the units it takes from the stock, and whether sales must stop."""
        phase, units, ordered, settled = token
        if phase == NEW and state.stock > 0 and not state.stopped:
            yield "reserves", token._replace(phase=PROMISED, units=OPEN), 1, False
        if phase == PROMISED:
            yield "is ordered", token._replace(phase=OVER, ordered=True), 0, False
            yield "gives up", token._replace(phase=OVER), 0, False
        if phase == OVER and ordered and not settled:
            if units == ABSENT:
                yield (
                    "confirms, products does not know it",
                    token._replace(settled=True),
                    0,
                    self.rules.differences_stop_sales,
                )
            else:
                yield "confirms", token._replace(units=SOLD, settled=True), 0, False
        if phase == OVER and units == OPEN:
            changed = token._replace(units=SOLD if ordered else ABSENT, settled=ordered)
            yield f"is swept: {'confirm' if ordered else 'release'}", changed, 0 if ordered else -1, False
        if units == SOLD and not ordered:
            if self.rules.differences_stop_sales and not state.stopped and not settled:
                yield "is a sale that orders does not know", token._replace(settled=True), 0, True
            if phase == OVER and not self.rules.owner_ids_are_random and not state.stopped:
                yield "reserves under a token that is sold already", token._replace(phase=PROMISED), 0, False

    def _copy(self, state: State) -> Copy:
        if self.side == "products":
            return "products", state.stock, tuple(token.units for token in state.tokens)
        return "orders", 0, tuple(token.ordered for token in state.tokens)

    def _restore(self, state: State) -> State:
        assert state.copy
        tokens = []
        for token, old in zip(state.tokens, state.copy[2], strict=True):
            if self.rules.orders_stops_for_a_restore and token.phase == PROMISED:
                token = token._replace(phase=OVER)  # killed with its process
            if state.copy[0] == "products":
                tokens.append(token._replace(units=str(old)))
            else:
                tokens.append(token._replace(ordered=bool(old), settled=False))
        stock = state.copy[1] if state.copy[0] == "products" else state.stock
        differ = any(is_different(token) for token in tokens)
        stopped = state.stopped or (self.rules.all_tokens_are_compared and differ)
        return state._replace(stock=stock, tokens=tuple(tokens), stopped=stopped, restored=True)

    def _set_by_hand(self, state: State) -> State:
        """Return the state after the operator gave the product what is not ordered, and knows the differences."""
        ordered = sum(token.ordered for token in state.tokens)
        known = tuple(token._replace(settled=True) if is_different(token) else token for token in state.tokens)
        return state._replace(stock=self.supply - ordered, tokens=known, stopped=False)

    def violation(self, state: State, following: Sequence[tuple[str, State]]) -> str | None:
        ordered = sum(token.ordered for token in state.tokens)
        if ordered > self.supply:
            return OVERSOLD
        new = any(token.phase == NEW for token in state.tokens)
        return UNSOLD if not following and not new and state.stock + ordered < self.supply else None


def is_different(token: Token) -> bool:
    """Return whether the two databases contradict each other about a token whose attempt is over."""
    return token.phase == OVER and (
        (token.ordered and token.units == ABSENT) or (token.units == SOLD and not token.ordered)
    )


def case(name: str, side: str, violation: str | None, why: str, rules: Rules, supply: int = 1, tokens: int = 3) -> Case:
    return Case(f"backups: {name}", Backups(rules, side, tokens, supply), violation, why)


SIZES = (
    *(
        case(f"{side} restored, {supply} units", side, None, "", Rules(), supply)
        for side in ("products", "orders")
        for supply in (1, 2)
    ),
    case("orders restored, and only sweeps compare", "orders", None, "", Rules(all_tokens_are_compared=False)),
)

VARIANTS = (
    case(
        "orders goes on while products is restored",
        "products",
        OVERSOLD,
        "A process that was promised a unit before the restore still commits its order, and nobody holds the unit for it.",
        Rules(orders_stops_for_a_restore=False),
    ),
    case(
        "products restored, only what sweeps and confirms come across is compared",
        "products",
        OVERSOLD,
        "Sales go on until a difference is met, and a sale that was confirmed before the restore is never met again.",
        Rules(all_tokens_are_compared=False),
    ),
    case(
        "products restored, the stock is set while reservations are open",
        "products",
        OVERSOLD,
        "A reservation that the copy brought back is released after the count, and gives its unit to the stock once more.",
        Rules(stock_is_set_when_nothing_is_open=False),
    ),
    case(
        "orders restored, nothing stops",
        "orders",
        UNSOLD,
        "The units of forgotten orders stay sold, and nobody is told that they can be sold again.",
        Rules(all_tokens_are_compared=False, differences_stop_sales=False),
        tokens=1,
    ),
    case(
        "orders restored, owners are numbered",
        "orders",
        OVERSOLD,
        "A number comes again after a restore, and with it a token that products knows as sold.",
        Rules(owner_ids_are_random=False),
    ),
)
