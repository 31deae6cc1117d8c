"""The owner of this process's tokens: a row of this run in the orders database.

Every write transaction asserts that the row is there. An owner whose beats have stopped is removed by another process.
From then on it can commit nothing, so what it reserved and did not order can be released. See docs/stock.md.
"""

import logging
import secrets
from collections.abc import Collection
from dataclasses import dataclass

import gevent
from gevent.event import Event

from service_common.storage.database import Database, Execute, Procedure, Row, Write
from service_common.storage.errors import StorageError, Unavailable

from ..upstream.attempts import Attempts

SUSPECT_AFTER = 5  # own successful beats in which another's counter did not move
MOST_VALUES = 500  # of one statement

log = logging.getLogger("owners")


def marks(values: Collection[object]) -> str:
    """Return a `?` for each value."""
    return ",".join("?" * len(values))


def ordered(execute: Execute, tokens: Collection[str]) -> set[str]:
    """Return those of `tokens` that an order has."""
    rest, found = list(tokens), set()
    while rest:
        some, rest = rest[:MOST_VALUES], rest[MOST_VALUES:]
        found |= {token for (token,) in execute(f"SELECT token FROM orders WHERE token IN ({marks(some)})", some)}
    return found


class Guard(Procedure):
    """The assertion, in every write transaction, that the owner of this process has not been removed."""

    def __init__(self) -> None:
        self.id: str | None = None  # None: there is no owner, and no token that an order could have
        self.removed = False  # a row that is gone never comes back

    def run(self, execute: Execute) -> None:
        """Assert it. Raises Unavailable."""
        if self.id is not None and not execute("SELECT 1 FROM owners WHERE id = ?", (self.id,)):
            self.removed = True
            raise Unavailable("This process was taken for dead by another one. Nothing was written.")


@dataclass(slots=True)
class Register(Procedure):
    """Insert the row of a new owner. If `alone`, no other process has the database open: all other owners are dead."""

    id: str
    alone: bool

    def run(self, execute: Execute) -> None:
        if self.alone:
            execute("DELETE FROM owners")
        execute("INSERT INTO owners (id, beat) VALUES (?, 0)", (self.id,))


@dataclass(slots=True)
class Beat(Procedure):
    """Show that this owner lives, and remove those that do not.

    The result is the rows of the others, and those of `unknown` that an order has.
    """

    id: str
    dead: list[Row]  # each with the beat at which it stopped
    unknown: list[str]

    def run(self, execute: Execute) -> tuple[list[Row], set[str]]:
        execute("UPDATE owners SET beat = beat + 1 WHERE id = ?", (self.id,))
        for row in self.dead:
            execute("DELETE FROM owners WHERE id = ? AND beat = ?", row)
        others = execute("SELECT id, beat FROM owners WHERE id <> ?", (self.id,))
        return others, ordered(execute, self.unknown)


@dataclass(slots=True)
class Leave(Procedure):
    """Remove the row of an owner that stops."""

    id: str

    def run(self, execute: Execute) -> None:
        execute("DELETE FROM owners WHERE id = ?", (self.id,))


class Owner:
    """The owner of this process. After it was removed, the process registers as a new one."""

    def __init__(self, attempts: Attempts, database: Database, beat_every: float) -> None:
        self.registered = Event()
        self._attempts = attempts
        self._database = database
        self._beat_every = beat_every
        self._guard = Guard()
        self._others: dict[str, tuple[int, int]] = {}  # their beats, and how often each was seen unmoved
        self._is_failing = False
        database.guard(self._guard)

    @property
    def id(self) -> str | None:
        """The id under which units may be reserved; None where there is none now."""
        return None if self._guard.removed else self._guard.id

    def run(self) -> None:
        """Register, then beat, for as long as the process lives."""
        while True:
            try:
                if self.id is None:
                    self._register()
                else:
                    self._beat(self.id)
                self._is_failing = False
            except StorageError as error:
                if not self._is_failing:
                    log.warning("the owner of this process cannot be kept alive now: %s", error)
                self._is_failing = True
            gevent.sleep(self._beat_every)

    def _register(self) -> None:
        """Insert a new row. Until it is committed nothing is reserved.

        After a removal the guard stays as it is until the last order with a token of the removed owner has been
        refused. Otherwise such an order could be committed under the new row.
        """
        self._attempts.owner = None
        self.registered.clear()
        if self._guard.removed:
            log.warning("this process was taken for dead by another one: it registers anew")
            while self._attempts.may_write():
                gevent.sleep(0.01)
        self._guard.id, self._guard.removed = None, False
        id = secrets.token_hex(8)
        self._database.write(Write(Register(id, self._database.exclusive)))
        self._guard.id = id
        self.registered.set()

    def _beat(self, id: str) -> None:
        dead = [(other, beat) for other, (beat, unmoved) in self._others.items() if unmoved >= SUSPECT_AFTER]
        unknown = list(self._attempts.unknown)
        others, found = self._database.write(Write(Beat(id, dead, unknown)))
        self._attempts.judge(unknown, found)
        if dead:
            log.warning("owners whose beats had stopped were removed: %s", ", ".join(other for other, _ in dead))
        before, self._others = self._others, {}
        for other, beat in others:
            last, unmoved = before.get(other, (None, 0))
            self._others[other] = (beat, unmoved + 1 if beat == last else 0)

    def leave(self) -> None:
        """Remove the row: from here on this process commits nothing. Where that fails, another process removes it."""
        self._attempts.owner = None
        if (id := self.id) is not None:
            try:
                self._database.write(Write(Leave(id)))
            except StorageError as error:
                log.warning("the owner of this process could not be removed: %s", error)
