"""A database on a disk that can be broken, and what a crash would leave of it."""

import itertools
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import gevent
from prometheus_client import CollectorRegistry

from service_common.storage.database import Insert, Schema, Table, UniqueViolation, Write, WriteLimits
from service_common.storage.errors import StorageError
from service_common.storage.sqlite.database import SqliteDatabase

from .disk import Disk

TABLE = Table(name="t", answers=("id", "x"), fields=("x",), insert="INSERT INTO t (id, x) SELECT id, x FROM new")
VERSIONED = Table(
    name="versioned",
    answers=("id", "x"),
    fields=("x",),
    insert="INSERT INTO versioned (id, x) SELECT id, x FROM new",
    update="""UPDATE versioned SET x = coalesce(change.x, versioned.x), version = versioned.version + 1
              FROM change WHERE versioned.id = change.id""",
)
SCHEMA = Schema(
    "bench",
    """-- version 1
CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, x INTEGER UNIQUE CHECK (x > -10), y BLOB) STRICT;
CREATE TABLE versioned (
    id INTEGER PRIMARY KEY AUTOINCREMENT, x INTEGER UNIQUE CHECK (x > -10), version INTEGER NOT NULL DEFAULT 1
) STRICT;
""",
    (TABLE, VERSIONED),
)
names = itertools.count()


class Bench:
    """A database on a disk that can be broken."""

    def __init__(self, path: Path, **limits: Any) -> None:
        """`limits` are those of WriteLimits."""
        self.path = path / "t.db"
        self.log = path / "t.db-wal"
        self.disk = Disk(f"disk{next(names)}")
        self.registry = CollectorRegistry()
        self.database = SqliteDatabase(self.path, SCHEMA, WriteLimits(**limits), self.registry, self.disk.name)

    @property
    def writing(self) -> apsw.Connection:
        """The writing connection; another one after the database was reopened."""
        return self.database.file.writing

    def insert(self, x: int) -> Write:
        """Return the insert of one row."""
        return Write(Insert(TABLE, [(x,)]))

    def insert_and(self, x: int, run: Callable[[apsw.Connection], Any]) -> Write:
        """Return the insert of one row, after which `run` does as it likes on the connection, in the transaction."""

        def answer(rows: Any) -> Any:
            run(self.writing)
            return rows

        return Write(Insert(TABLE, [(x,)]), answer)

    def insert_and_raise(self, x: int, kind: type[BaseException]) -> Write:
        """Return an insert that has changed a row when it fails."""

        def fail(_db: apsw.Connection) -> None:
            raise kind()

        return self.insert_and(x, fail)

    def insert_large(self, x: int, size: int = 48 << 10) -> Write:
        """Return an insert that outgrows the page cache, so that it is written to the log before the COMMIT."""

        def enlarge(rows: Any) -> Any:
            if not isinstance(rows[0], UniqueViolation):
                self.writing.pragma("cache_size", 4)
                self.writing.execute("UPDATE t SET y = randomblob(?) WHERE x = ?", (size, x))
            return rows

        return Write(Insert(TABLE, [(x,)]), enlarge)

    def age(self) -> None:
        """Make the last good commit so old that /readyz asks the disk."""
        self.database._committed_at = 0.0

    def spawn(self, *xs: int) -> list[gevent.Greenlet]:
        """Start a greenlet that inserts for each of `xs`, and return when all are in the queue."""
        greenlets = [gevent.spawn(self.outcome, x) for x in xs]
        gevent.sleep(0)
        return greenlets

    def outcomes_of(self, *writes: Write) -> list[Any]:
        """Return the outcomes of writes that are queued together."""
        greenlets = [gevent.spawn(self.outcome_of, write) for write in writes]
        return [greenlet.value for greenlet in gevent.joinall(greenlets)]

    def outcome(self, x: int) -> Any:
        """Insert a row and return its outcome."""
        return self.outcome_of(self.insert(x))

    def outcome_of(self, write: Write) -> Any:
        """Return the outcome of a write: the name of its StorageError, its exception, or its result.

        The result of an insert is shown as the first row's id or UniqueViolation.
        """
        try:
            outcome = self.database.write(write)
        except StorageError as error:
            return type(error).__name__
        except Exception as error:
            return error
        if not isinstance(outcome, list):
            return outcome
        return outcome[0] if isinstance(outcome[0], UniqueViolation) else outcome[0][0]

    def rows(self) -> list[int]:
        """Return what another process would see now."""
        with apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE) as other:
            return [x for (x,) in other.execute("SELECT x FROM t ORDER BY id").fetchall()]

    def crashed(self) -> list[int]:
        """Return what would be there if the process died now: its files as the operating system has them."""
        directory = self.path.parent / f"crashed{next(names)}"
        directory.mkdir()
        for source in (self.path, self.log):
            if source.exists():
                shutil.copy(source, directory)
        return rows_of(directory / "t.db")

    def cut_off(self) -> list[int]:
        """Return what would be there if the power went now: see `Disk`."""
        return rows_of(self.disk.cut_power(self.path.parent / f"cut{next(names)}"))

    def groups(self) -> tuple[int, int]:
        """Return the numbers of transactions that were committed, and of the writes in them."""
        count = self.registry.get_sample_value("write_group_jobs_count")
        jobs = self.registry.get_sample_value("write_group_jobs_sum")
        return int(count or 0), int(jobs or 0)

    def statements(self) -> list[str]:
        """Return a list that will hold the first words of all statements written from now on."""
        sent: list[str] = []

        def note(_cursor: apsw.Cursor, sql: str, _values: Any) -> bool:
            sent.append(sql.split()[0])
            return True

        self.writing.exec_trace = note
        return sent

    def hold_sync(self) -> tuple[threading.Event, threading.Event]:
        """Make the next sync of the log wait. Return two events: one that says that it waits, one that ends the wait."""
        waiting, go_on = threading.Event(), threading.Event()

        def hold() -> None:
            waiting.set()
            assert go_on.wait(20)

        self.disk.on_sync = hold
        return waiting, go_on


def until(event: threading.Event) -> None:
    """Wait for another thread's event and let the greenlets run meanwhile."""
    with gevent.Timeout(20):
        while not event.is_set():
            gevent.sleep(0.001)


def rows_of(path: Path) -> list[int]:
    """Return the rows of a database that a crash left behind, which must be sound."""
    with apsw.Connection(str(path)) as db:
        assert db.pragma("integrity_check") == "ok"
        return [x for (x,) in db.execute("SELECT x FROM t ORDER BY id").fetchall()]
