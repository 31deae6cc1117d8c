"""A breadth-first search of all states that a machine can reach, up to its first violation."""

import gc
import time
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, TypeVar

S = TypeVar("S", bound=Hashable)


class Machine(Protocol[S]):
    """States and moves. Equal states must have equal moves: nothing may depend on how a state was reached."""

    @property
    def first(self) -> S:
        """The state that the search starts from."""

    def moves(self, state: S) -> Iterable[tuple[str, S]]:
        """Yield each move that is possible in `state`: its label and the next state."""

    def violation(self, state: S, following: Sequence[tuple[str, S]]) -> str | None:
        """Return the promise that `state` breaks, or None. `following` are its moves: empty where nothing can happen any more."""


class Verdict(NamedTuple):
    """The result of a search. `trace` is the shortest way to the violation: the labels of its moves.

    Verdict(states=21, seconds=0.001, violation="an order without its unit", trace=("a process starts", …, "the reservation expires"))
    """

    states: int
    seconds: float
    violation: str | None
    trace: tuple[str, ...]


def search(machine: Machine[S]) -> Verdict:
    """Visit every state, nearest first, and stop at the first that breaks a promise."""
    began = time.monotonic()
    origin: dict[S, tuple[str, S] | None] = {machine.first: None}
    queue = deque([machine.first])
    with without_cycle_collection():
        while queue:
            state = queue.popleft()
            following = tuple(machine.moves(state))
            if violation := machine.violation(state, following):
                return Verdict(len(origin), time.monotonic() - began, violation, trace(origin, state))
            for label, new in following:
                if new not in origin:
                    origin[new] = label, state
                    queue.append(new)
    return Verdict(len(origin), time.monotonic() - began, None, ())


@contextmanager
def without_cycle_collection() -> Iterator[None]:
    """Keep Python from looking for cycles among the states: they have none, and it would take 40 % of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def trace(origin: dict[S, tuple[str, S] | None], state: S) -> tuple[str, ...]:
    """Return the labels of the moves that led to `state`."""
    labels: list[str] = []
    while step := origin[state]:
        label, state = step
        labels.append(label)
    return tuple(reversed(labels))


class Case(NamedTuple):
    """A machine, and the violation that its search must end with; None where every promise must hold.

    `why` says in one sentence which rule a wrong variant breaks, and what follows.
    """

    name: str
    machine: Machine[Any]
    violation: str | None = None
    why: str = ""
