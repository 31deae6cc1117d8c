"""The seam of storage: what a service can ask of its database, whichever engine holds it.

A write is data. The engine takes a group of writes, makes one durable transaction of it, and answers each write with
its result or its error. So no code of a service may assume that its statement runs alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

KEPT_S = 24 * 3600  # how long an idempotency key is kept
PURGED_AT_ONCE = 500  # keys; few enough that the writes behind a purge do not notice it

Row = tuple[Any, ...]
Execute = Callable[..., list[Row]]  # execute(sql, values=()): runs a statement with `?` in the place of each value


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table of a service. Its statements are written once, for every engine.

    `insert` reads the relation `new` and `update` the relation `change`. Both have the columns `id` and `fields`. The
    engine supplies them, with one row for each item, and adds the clause that returns `columns`.
    """

    name: str
    answers: tuple[str, ...]  # columns as answered to clients, `id` first
    fields: tuple[str, ...]  # columns of `new` and `change` after `id`
    insert: str
    update: str | None = None  # counts `version` up, and lets a row through that may change; None: rows never change
    in_use: str = "1 = 0"  # a condition on a row that must not be deleted

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a row as read and returned; the version, if there is one, is the last."""
        return (*self.answers, "version") if self.update else self.answers


class Answer(NamedTuple):
    """An answer to a client. Storage keeps it under a key and does not look inside."""

    status: int
    body: bytes
    headers: dict[str, str]


class Key(NamedTuple):
    """An idempotency key, and the fingerprint of the request that it stands for (SHA-256)."""

    value: str
    fingerprint: bytes


class Kept(NamedTuple):
    """The outcome that a key decided before."""

    fingerprint: bytes
    answer: Answer


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions of a row that a write accepts."""

    only: frozenset[str] | None = None  # None: every version
    never: frozenset[str] | None = frozenset()  # None: every version

    def wants(self, version: Any) -> bool:
        """Return whether `version` is among those asked for."""
        return self.only is None or str(version) in self.only

    def excludes(self, version: Any) -> bool:
        """Return whether `version` is among those ruled out."""
        return self.never is None or str(version) in self.never

    def accept(self, version: Any) -> bool:
        """Return whether a row with this version may be used."""
        return self.wants(version) and not self.excludes(version)


ANY_VERSION = Versions()


@dataclass(slots=True)
class Insert:
    """Insert rows, each by itself. The result is a list with a Row or UniqueViolation for each of `rows`."""

    table: Table
    rows: Sequence[Row]  # the values of `table.fields`


@dataclass(slots=True)
class Update:
    """Change one row. The result is the new Row, UniqueViolation, Missing, OtherVersion or InUse."""

    table: Table
    id: int
    values: Row  # of `table.fields`; what None means is the statement's to say
    versions: Versions = ANY_VERSION


@dataclass(slots=True)
class Delete:
    """Delete one row; its id is never given again. The result is the old Row, Missing, OtherVersion or InUse."""

    table: Table
    id: int
    versions: Versions = ANY_VERSION


@dataclass(slots=True)
class Purge:
    """Delete some expired idempotency keys. The result is their number."""


@dataclass(slots=True)
class Probe:
    """Change nothing, but ask the disk: the result tells only that a commit is possible."""


class UniqueViolation(NamedTuple):
    """The result of a row that another one excludes."""

    column: str


class Missing(NamedTuple):
    """The result where there is no row under the id."""


class OtherVersion(NamedTuple):
    """The result where the row has a version that the write does not accept."""

    version: Any


class InUse(NamedTuple):
    """The result where other rows need the row as it is."""


class Procedure:
    """Several statements of a service's own, in one transaction. A subclass is a dataclass of what they need."""

    def run(self, execute: Execute) -> Any:
        """Run the statements and return the result. It may run twice, so it must have no effect but on rows."""
        raise NotImplementedError


Operation = Insert | Update | Delete | Purge | Probe | Procedure
Ended = Callable[[Any, Exception | None], None]


@dataclass(slots=True)
class Write:
    """An operation, and how its result is answered.

    With a key the write is decided once. In the transaction the engine looks for what the key has decided before; if
    there is something, that Kept is the outcome, and nothing is done. Otherwise the answer is kept under the key.
    """

    operation: Operation
    answer: Callable[[Any], Answer] | None = None  # a pure function of the result; None: the outcome is the result
    key: Key | None = None  # needs an `answer`
    rows: int = 1  # what it counts towards the rows of one transaction
    ended: Ended | None = None  # called once with the outcome or the error, when the write will not run from here on


@dataclass(frozen=True, slots=True)
class WriteLimits:
    """Limits of the write queue."""

    queue: int = 1000  # writes that may wait
    rows: int = 1000  # rows of one transaction
    timeout: float = 5.0  # seconds a caller waits for its write


@dataclass(frozen=True, slots=True)
class Schema:
    """The content of a database: the tables of one service, and the steps that make them."""

    name: str  # of the service
    sql: str  # steps of the schema, see migrations.py
    tables: tuple[Table, ...] = field(default=())


class Database(Protocol):
    """A service's database. Its methods are called from greenlets of one thread."""

    exclusive: bool  # a lock proves that no other process has it open

    def read(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of one query, as of the last commit. Raises Unavailable."""

    def kept(self, key: str) -> Kept | None:
        """Return what was decided under a key, if anything was. Raises Unavailable."""

    def write(self, write: Write) -> Any:
        """Make a write and return its outcome, once that is on disk. Raises StorageError."""

    def guard(self, procedure: Procedure) -> None:
        """Run `procedure` in every transaction from here on, before its first write.

        Where it raises a StorageError, nothing of the transaction is written, and the callers get that error.
        """

    def alive(self) -> bool:
        """Return whether the writer runs and is not stuck in a transaction."""

    def writable(self) -> bool:
        """Return whether the database can be written now, from a commit that is no older than a second."""

    def ready(self) -> bool:
        """Return whether a front door may send requests here."""

    def seems_ready(self) -> bool:
        """Return what `ready` would, as far as that is known without a write."""

    def stop_accepting(self) -> None:
        """Refuse new writes. What is queued is still written."""

    def close(self, timeout: float) -> None:
        """Write what is queued, for at most `timeout` seconds, then close."""
