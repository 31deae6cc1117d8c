"""A store and its writer on a disk that can be broken, and what a crash would leave of them."""

import itertools
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import gevent
from prometheus_client import CollectorRegistry

from service_common.problems import Problem
from service_common.store import Store
from service_common.writer import Writer

from .disk import Disk

SCHEMA = "-- version 1\nCREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, x INTEGER UNIQUE, y BLOB) STRICT;"
names = itertools.count()


class Bench:
    """A store and its writer on a disk that can be broken."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path / "t.db"
        self.disk = Disk(f"disk{next(names)}")
        self.store = Store(self.path, SCHEMA, vfs=self.disk.name)
        settings = {"queue_limit": 1000, "batch_rows": 1000, "timeout": 5.0} | options
        self.registry = CollectorRegistry()
        self.writer = Writer(self.store, registry=self.registry, **settings)

    def insert(self, x: int) -> Callable[[apsw.Connection], int]:
        return lambda db: db.execute("INSERT INTO t (x) VALUES (?) RETURNING id", (x,)).fetchall()[0][0]

    def insert_large(self, x: int, size: int = 48 << 10) -> Callable[[apsw.Connection], int]:
        """An insert that outgrows the page cache, so that it is written to the log before the COMMIT."""

        def run(db: apsw.Connection) -> int:
            db.pragma("cache_size", 4)
            id: int = db.execute("INSERT INTO t (x, y) VALUES (?, randomblob(?)) RETURNING id", (x, size)).get
            return id

        return run

    def age(self) -> None:
        """Make the last good commit so long ago that /readyz asks the disk."""
        self.writer._committed_at = 0.0

    def spawn(self, *xs: int) -> list[gevent.Greenlet]:
        """A writer for each, until all have queued."""
        greenlets = [gevent.spawn(self.outcome, x) for x in xs]
        gevent.sleep(0)
        return greenlets

    def outcome(self, x: int) -> Any:
        """The id that an insert got, or the kind of its problem, or its exception."""
        return self.outcome_of(self.insert(x))

    def outcome_of(self, run: Callable[[apsw.Connection], Any]) -> Any:
        try:
            return self.writer.write(run)
        except Problem as problem:
            return problem.kind
        except Exception as error:
            return error

    def rows(self) -> list[int]:
        """What another process would see now."""
        with apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE) as other:
            return [x for (x,) in other.execute("SELECT x FROM t ORDER BY id").fetchall()]

    def crashed(self) -> list[int]:
        """What would be there if the process died now: its files as the operating system has them."""
        directory = self.path.parent / f"crashed{next(names)}"
        directory.mkdir()
        for name in ("t.db", "t.db-wal"):
            if (source := self.path.with_name(name)).exists():
                shutil.copy(source, directory)
        return rows_of(directory / "t.db")

    def cut_off(self) -> list[int]:
        """What would be there if the power went now: see `Disk`."""
        return rows_of(self.disk.cut_power(self.path.parent / f"cut{next(names)}"))

    def groups(self) -> tuple[int, int]:
        """Transactions committed, and writes in them."""
        count = self.registry.get_sample_value("write_group_jobs_count")
        jobs = self.registry.get_sample_value("write_group_jobs_sum")
        return int(count or 0), int(jobs or 0)

    def hold_sync(self) -> tuple[threading.Event, threading.Event]:
        """Make the next sync of the log wait: (set when it waits, set it to go on)."""
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
    """The rows of a database that a crash left behind, which must be sound."""
    with apsw.Connection(str(path)) as db:
        assert db.pragma("integrity_check") == "ok"
        return [x for (x,) in db.execute("SELECT x FROM t ORDER BY id").fetchall()]
