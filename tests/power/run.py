"""One seed: a random workload on the real database, several power cuts, and what must hold after each."""

import hashlib
import json
import logging
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import apsw
import gevent
from prometheus_client import CollectorRegistry

from service_common.storage.database import (
    Answer,
    Insert,
    Kept,
    Key,
    Row,
    Schema,
    Table,
    UniqueViolation,
    Write,
    WriteLimits,
)
from service_common.storage.errors import CannotStart, StorageError
from service_common.storage.sqlite import database as sound
from service_common.storage.sqlite.database import SqliteDatabase
from service_common.storage.sqlite.file import DatabaseFile

from .platter import Platter

TABLE = Table(
    name="t", answers=("id",), fields=("n", "i", "x"), insert="INSERT INTO t (id, n, i, x) SELECT id, n, i, x FROM new"
)
OLD = "-- version 1\nCREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, n INTEGER NOT NULL, i INTEGER, x BLOB) STRICT;\n"
NEW = (
    OLD
    + "-- version 2\nALTER TABLE t ADD COLUMN z INTEGER DEFAULT 7;\nCREATE INDEX t_by_n ON t (n);\nUPDATE t SET z = n;\n"
)
CUTS = 4  # of one file
names = iter(range(1 << 62))


class Loss(AssertionError):
    """The disk held something else after a cut than was promised."""


@dataclass(frozen=True)
class Request:
    """Request `n`: `rows` rows of `size` bytes in one write, with or without a key."""

    n: int
    rows: int
    size: int
    keyed: bool

    def content(self) -> list[tuple[int, bytes]]:
        """Return what has to be in the table: (place in the request, bytes)."""
        return [(i, hashlib.shake_128(b"%d/%d" % (self.n, i)).digest(self.size)) for i in range(self.rows)]

    def key(self) -> Key:
        return Key(f"key-{self.n}", hashlib.sha256(b"%d" % self.n).digest())

    def write(self) -> Write:
        rows = [(self.n, i, x) for i, x in self.content()]
        return Write(Insert(TABLE, rows), answered, self.key() if self.keyed else None)


def answered(rows: Sequence[Row | UniqueViolation]) -> Answer:
    """Return the ids as the answer."""
    return Answer(201, json.dumps([row[0] for row in rows]).encode(), {})


class SmallFile(DatabaseFile):
    """The real file, with a log so short and a cache so small that checkpoints and spills happen all the time."""

    def __init__(self, path: Path, schema: str, vfs: str, *, settings: dict[str, Any]) -> None:
        self._settings = settings
        try:
            super().__init__(path, schema, vfs)
        except BaseException:  # outside of tests the process ends here
            if hasattr(self, "writing"):
                self.writing.close(force=True)
            raise

    def open(self) -> None:
        super().open()
        for name, value in self._settings.items():
            self.writing.pragma(name, value)


class Seed:
    """The run of one seed. `synchronous`, or an `engine` with a fault, breaks the system on purpose."""

    def __init__(self, seed: int, *, synchronous: str | None = None, engine: ModuleType = sound) -> None:
        self._chance = random.Random(seed)
        self._directory = Path(tempfile.mkdtemp(prefix="power", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self._disk = Platter(f"platter{next(names)}", self._directory, self._chance)
        self._engine = engine
        self._settings: dict[str, Any] = {
            "wal_autocheckpoint": self._chance.choice((2, 5, 10, 20, 50)),
            "cache_size": self._chance.choice((4, 20, 200)),
            "journal_size_limit": self._chance.choice((0, 20_000, 1_000_000)),
        }
        if synchronous:
            self._settings["synchronous"] = synchronous
        self._schema = OLD
        self._sent: dict[int, Request] = {}
        self._acknowledged: dict[int, Answer] = {}
        self._seen: set[int] = set()  # what was there after a cut, acknowledged or not, has to stay
        self.counts: Counter[str] = self._disk.counts

    def run(self) -> Counter[str]:
        """Run it and return counts of what happened.

        Raises:
            Loss: a promise was broken.
        """
        try:
            for _ in range(CUTS):
                if self._chance.random() < 0.3 and self._schema == OLD:
                    self._schema = NEW
                self._disk.cut_in = self._chance.randint(1, self._chance.choice((20, 60, 200)))
                self._life()
                self._disk.power_on()
                self._recover()
            return self.counts
        finally:
            self._disk.unregister()
            shutil.rmtree(self._directory)

    def _open(self) -> SqliteDatabase:
        limits = WriteLimits(rows=self._chance.choice((4, 30)), timeout=60)
        with patch.object(self._engine, "DatabaseFile", partial(SmallFile, settings=self._settings)):
            schema = Schema("t", self._schema, (TABLE,))
            database: SqliteDatabase = self._engine.SqliteDatabase(
                self._directory / "t.db", schema, limits, CollectorRegistry(), vfs=self._disk.name
            )
            return database

    def _life(self) -> None:
        """Start, and work until the power goes; or stop regularly, and lose the power after that."""
        try:
            database = self._open()
        except (CannotStart, apsw.Error) as error:
            if not self._disk.off:
                raise Loss(f"does not start: {error}") from error
            self.counts["cut while starting"] += 1
            return
        for _ in range(self._chance.randint(1, 12)):
            again = [r for r in self._sent.values() if r.keyed and r.n not in self._acknowledged]
            requests = [self._request() for _ in range(self._chance.randint(1, 6))]
            if again and self._chance.random() < 0.5:
                requests.append(self._chance.choice(again))
            gevent.joinall([gevent.spawn(self._send, database, request) for request in requests], raise_error=True)
            self._between(database.file)
            if self._disk.off:
                break
        if not self._disk.off and self._chance.random() < 0.7:
            self._disk.cut()
        self._stop(database)
        if not self._disk.off:
            self._disk.cut()

    def _between(self, file: DatabaseFile) -> None:
        """Do something else to the file while nothing is being written."""
        what = self._chance.random()
        try:
            if what < 0.1:
                file.empty_log()
            elif what < 0.2:
                file.reopen()
        except apsw.Error as error:
            if not self._disk.off:
                raise Loss(f"does not open again: {error}") from error

    def _stop(self, database: SqliteDatabase) -> None:
        try:
            database.close(10)
        except apsw.Error as error:
            if not self._disk.off:
                raise Loss(f"does not close: {error}") from error
        database._thread.kill()

    def _request(self) -> Request:
        chance, n = self._chance, len(self._sent)
        request = Request(
            n, chance.choice((1, 1, 1, 3, 8)), chance.choice((10, 100, 1000, 6000)), chance.random() < 0.6
        )
        self._sent[n] = request
        return request

    def _send(self, database: SqliteDatabase, request: Request) -> None:
        """Send a request and note its answer. One that had not left when the power went does not count."""
        try:
            outcome: Answer | Kept = database.write(request.write())
        except (StorageError, apsw.Error) as problem:
            if not self._disk.off:
                raise Loss(f"write {request.n} was refused on a sound disk: {problem}") from problem
            return
        if not self._disk.off:
            self._acknowledged[request.n] = outcome.answer if isinstance(outcome, Kept) else outcome
            self.counts["replayed"] += isinstance(outcome, Kept)
            self.counts["acknowledged"] += 1

    def _recover(self) -> None:
        """Start on what is left, check it, and check that it can be written."""
        try:
            database = self._open()
        except (CannotStart, apsw.Error) as error:
            raise Loss(f"does not start after the cut: {error}") from error
        try:
            self._check(database)
            self._send(database, self._request())
            for request in [r for r in self._sent.values() if r.keyed and r.n not in self._acknowledged]:
                if self._chance.random() < 0.5:
                    self._send(database, request)
            self._check(database)
        except (StorageError, apsw.Error) as error:
            raise Loss(f"cannot be read after the cut: {error}") from error
        finally:
            self._stop(database)

    def _check(self, database: SqliteDatabase) -> None:
        if (found := database.read("PRAGMA integrity_check")) != [("ok",)]:
            raise Loss(f"integrity_check: {found}")
        there: dict[int, list[tuple[int, int, bytes]]] = {}
        for id, n, i, x in database.read("SELECT id, n, i, x FROM t ORDER BY id"):
            there.setdefault(n, []).append((id, i, x))
        kept: dict[Any, Any] = dict(database.read("SELECT key, body FROM idempotency_keys"))
        if lost := self._acknowledged.keys() - there.keys():
            raise Loss(f"acknowledged and lost: {sorted(lost)}")
        if lost := self._seen - there.keys():
            raise Loss(f"there after an earlier cut and lost: {sorted(lost)}")
        if invented := there.keys() - self._sent.keys():
            raise Loss(f"never sent: {sorted(invented)}")
        for n, rows in there.items():
            request = self._sent[n]
            if [(i, x) for _, i, x in rows] != request.content():
                raise Loss(f"write {n} is not there whole, once and unaltered")
            ids = json.dumps([id for id, _, _ in rows]).encode()
            if n in self._acknowledged and self._acknowledged[n].body != ids:
                raise Loss(f"write {n} has other ids than it was answered")
            if request.keyed and kept.pop(request.key().value, None) != ids:
                raise Loss(f"write {n} and its key do not agree")
        if kept:
            raise Loss(f"keys without rows: {sorted(kept)}")
        self._seen |= there.keys()
        self.counts["checks"] += 1


def campaign(seed: int) -> tuple[int, Counter[str], str | None]:
    """Run one seed and return its number, its counts, and what was lost."""
    logging.disable(logging.CRITICAL)  # each cut would be logged as the fault of the disk that it is
    run = Seed(seed)
    try:
        return seed, run.run(), None
    except Loss as loss:
        return seed, run.counts, str(loss)
    except Exception as error:  # a defect of the test, or a loss of an unknown kind: no pass either way
        return seed, run.counts, repr(error)
