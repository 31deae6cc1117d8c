"""The stock protocol holds in every interleaving, and each of its rules is needed."""

from collections import deque
from pathlib import Path

import pytest

from . import protocol, variants
from .__main__ import PROTOCOL, VARIANTS, row
from .protocol import StockProtocol
from .search import Case, search
from .state import Attempt, Rules, State

DOCS = Path(__file__).parents[2] / "docs" / "stock.md"


def cases(some: tuple[Case, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", some, ids=lambda case: case.name)


@cases(PROTOCOL)
def test_every_promise_holds_in_every_interleaving(case: Case) -> None:
    verdict = search(case.machine)
    assert verdict.violation is None, " / ".join(verdict.trace)


@cases(VARIANTS)
def test_each_wrong_variant_breaks_the_promise_that_its_rule_keeps(case: Case) -> None:
    verdict = search(case.machine)
    assert verdict.violation == case.violation
    assert row(case, verdict) in DOCS.read_text(encoding="utf-8"), "docs/stock.md: put in what `--table` prints"


def test_each_rule_of_the_protocol_has_a_wrong_variant() -> None:
    changed = {
        name
        for case in variants.VARIANTS
        if isinstance(case.machine, StockProtocol)
        for name, value in vars(case.machine.rules).items()
        if value != getattr(Rules(), name)
    }
    assert changed == vars(Rules()).keys()


def test_no_wrong_variant_fails_because_the_search_merged_different_futures(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_sorted(attempt: Attempt) -> Attempt:
        return attempt._replace(items=tuple(sorted(attempt.items)))

    monkeypatch.setattr(protocol, "tidy", only_sorted)
    for case in variants.VARIANTS:
        assert isinstance(case.machine, StockProtocol)
        first = case.machine.first
        if len(first.plans) == 1:
            again = StockProtocol(case.machine.rules, first.plans, len(first.owners), first.supply, only=case.violation)
            assert search(again).violation == case.violation, case.name
    assert search(StockProtocol(Rules(), (variants.ONE,))).violation is None


def test_every_move_of_the_protocol_happens_in_the_search() -> None:
    machine = StockProtocol(Rules(), (variants.ONE,), supply=1, changes=(1, -1))
    assert labels(machine) == {
        "a process starts",
        "an attempt starts",
        "reserve arrives",
        "the answer to reserve arrives",
        "the process gives up",
        "the turn is taken, the row asserted, COMMIT sent",
        "the assertion fails",
        "COMMIT lands",
        "the transaction is rolled back",
        "COMMIT is answered",
        "the answer to COMMIT is lost",
        "the unknown outcome is judged in a later turn",
        "confirm arrives",
        "the process sends a release",
        "release arrives",
        "kill -9",
        "its row is removed; the process lives",
        "its row is removed; the process is dead",
        "the removed process notices, answers all and registers anew",
        "stock changes by 1",
        "stock changes by -1",
        *(f"own sweep reads {source}" for source in ("the list", "what is live")),
        *(f"far sweep reads {source}" for source in ("the list", "the owners")),
        *(f"{who} sweep reads the orders: {sent}" for who in ("own", "far") for sent in ("confirm", "release")),
    }


def labels(machine: StockProtocol) -> set[str]:
    """Return the labels of all moves that are possible in any state that can be reached."""
    found: set[str] = set()
    seen: set[State] = {machine.first}
    queue = deque(seen)
    while queue:
        for label, state in machine.moves(queue.popleft()):
            found.add(label)
            if state not in seen:
                seen.add(state)
                queue.append(state)
    return found


def test_a_trace_is_the_shortest_way_to_a_violation() -> None:
    class Counter:
        """Counts up by one or three from 0; 4 is forbidden."""

        first = 0

        def moves(self, state: int) -> list[tuple[str, int]]:
            return [(f"+{step}", state + step) for step in (1, 3) if state + step < 9]

        def violation(self, state: int, following: object) -> str | None:
            return "four" if state == 4 else None

    verdict = search(Counter())
    assert (verdict.violation, verdict.trace) == ("four", ("+1", "+3"))
