"""One seed: a random workload on the real store and writer, several power cuts, and what must hold after each."""

import hashlib
import json
import logging
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import gevent
from prometheus_client import CollectorRegistry

from service_common.idempotency import Answer, Key, once
from service_common.problems import Problem
from service_common.store import Store, Unstartable
from service_common.writer import Writer, run_alone

from .platter import Platter

OLD = "-- version 1\nCREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, n INTEGER NOT NULL, i INTEGER, x BLOB) STRICT;\n"
NEW = (
    OLD
    + "-- version 2\nALTER TABLE t ADD COLUMN z INTEGER DEFAULT 7;\nCREATE INDEX t_by_n ON t (n);\nUPDATE t SET z = n;\n"
)
CUTS = 4  # of one file
names = iter(range(1 << 62))


class Loss(AssertionError):
    """What the disk held after a cut is not what was promised."""


@dataclass(frozen=True)
class Request:
    """Write `n`: `rows` rows of `size` bytes in one transaction, with or without a key."""

    n: int
    rows: int
    size: int
    keyed: bool

    def content(self) -> list[tuple[int, bytes]]:
        """What is to be in the table: (place in the request, bytes)."""
        return [(i, hashlib.shake_128(b"%d/%d" % (self.n, i)).digest(self.size)) for i in range(self.rows)]

    def key(self) -> Key:
        return Key(f"key-{self.n}", hashlib.sha256(b"%d" % self.n).digest())

    def run(self) -> Callable[[apsw.Connection], Answer]:
        """The job for the writer."""

        def insert(db: apsw.Connection) -> Answer:
            ids = [
                db.execute("INSERT INTO t (n, i, x) VALUES (?, ?, ?) RETURNING id", (self.n, i, x)).get
                for i, x in self.content()
            ]
            return Answer(201, json.dumps(ids).encode())

        return once(self.key(), insert) if self.keyed else insert


class SmallStore(Store):
    """The real store, with a log so short and a cache so small that checkpoints and spills happen all the time."""

    settings: dict[str, Any]

    def __init__(self, path: Path, schema: str, vfs: str, settings: dict[str, Any]) -> None:
        self.settings = settings
        try:
            super().__init__(path, schema, vfs)
        except BaseException:  # outside of tests the process ends here
            if hasattr(self, "writing"):
                self.writing.close(force=True)
            raise

    def open(self) -> None:
        super().open()
        for name, value in self.settings.items():
            self.writing.pragma(name, value)


class HastyWriter(Writer):
    """Broken on purpose: acknowledges before it commits."""

    def _write_batch(self, batch: list[Any]) -> None:
        db = self._store.writing
        try:
            db.execute("BEGIN IMMEDIATE")
            for job in batch:
                value, failed = run_alone(db, job.run)
                job.outcome.set_exception(failed) if failed else job.outcome.set(value)
            gevent.sleep(0)
            db.execute("COMMIT")
        except apsw.Error as error:
            for job in batch:
                if not job.outcome.ready():
                    job.outcome.set_exception(error)


class Seed:
    """The run of one seed. `synchronous` and `writer` break the system on purpose."""

    def __init__(self, seed: int, *, synchronous: str | None = None, writer: type[Writer] = Writer) -> None:
        self._chance = random.Random(seed)
        self._directory = Path(tempfile.mkdtemp(prefix="power", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self._disk = Platter(f"platter{next(names)}", self._directory, self._chance)
        self._writer_type = writer
        self._settings: dict[str, Any] = {
            "wal_autocheckpoint": self._chance.choice((2, 5, 10, 20, 50)),
            "cache_size": self._chance.choice((4, 20, 200)),
        }
        if synchronous:
            self._settings["synchronous"] = synchronous
        self._schema = OLD
        self._sent: dict[int, Request] = {}
        self._acknowledged: dict[int, Answer] = {}
        self._seen: set[int] = set()  # after a cut, acknowledged or not: what is there has to stay
        self.counts: Counter[str] = self._disk.counts

    def run(self) -> Counter[str]:
        """Counts of what happened.

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

    def _store(self) -> SmallStore:
        return SmallStore(self._directory / "t.db", self._schema, self._disk.name, self._settings)

    def _start(self, store: Store) -> Writer:
        return self._writer_type(
            store, queue_limit=1000, batch_rows=self._chance.choice((4, 30)), timeout=60, registry=CollectorRegistry()
        )

    def _life(self) -> None:
        """Start, work until the power goes, or stop in peace and lose it then."""
        try:
            store = self._store()
        except (Unstartable, apsw.Error) as error:
            if not self._disk.off:
                raise Loss(f"does not start: {error}") from error
            self.counts["cut while starting"] += 1
            return
        writer = self._start(store)
        for _ in range(self._chance.randint(1, 12)):
            again = [r for r in self._sent.values() if r.keyed and r.n not in self._acknowledged]
            requests = [self._request() for _ in range(self._chance.randint(1, 6))]
            if again and self._chance.random() < 0.5:
                requests.append(self._chance.choice(again))
            gevent.joinall([gevent.spawn(self._send, writer, request) for request in requests], raise_error=True)
            self._between(store)
            if self._disk.off:
                break
        if not self._disk.off and self._chance.random() < 0.7:
            self._disk.cut()
        self._stop(writer)
        if not self._disk.off:
            self._disk.cut()

    def _between(self, store: Store) -> None:
        """What else happens to a store, while nothing is being written."""
        what = self._chance.random()
        try:
            if what < 0.1:
                store.discard_log()
            elif what < 0.2:
                store.reopen()
        except apsw.Error as error:
            if not self._disk.off:
                raise Loss(f"does not open again: {error}") from error

    def _stop(self, writer: Writer) -> None:
        try:
            writer.close(10)
        except apsw.Error as error:
            if not self._disk.off:
                raise Loss(f"does not close: {error}") from error
        writer._thread.kill()

    def _request(self) -> Request:
        chance, n = self._chance, len(self._sent)
        request = Request(
            n, chance.choice((1, 1, 1, 3, 8)), chance.choice((10, 100, 1000, 6000)), chance.random() < 0.6
        )
        self._sent[n] = request
        return request

    def _send(self, writer: Writer, request: Request) -> None:
        """What a client does; an answer that had not left when the power went is none."""
        try:
            answer = writer.write(request.run())
        except (Problem, apsw.Error) as problem:
            if not self._disk.off:
                raise Loss(f"write {request.n} was refused on a sound disk: {problem}") from problem
            return
        if not self._disk.off:
            self._acknowledged[request.n] = answer
            self.counts["acknowledged"] += 1

    def _recover(self) -> None:
        """Start on what is left, check it, and see that it can be written."""
        try:
            store = self._store()
        except (Unstartable, apsw.Error) as error:
            raise Loss(f"does not start after the cut: {error}") from error
        writer = self._start(store)
        try:
            self._check(store)
            self._send(writer, self._request())
            for request in [r for r in self._sent.values() if r.keyed and r.n not in self._acknowledged]:
                if self._chance.random() < 0.5:
                    self._send(writer, request)
            self._check(store)
        except (Problem, apsw.Error) as error:
            raise Loss(f"cannot be read after the cut: {error}") from error
        finally:
            self._stop(writer)

    def _check(self, store: Store) -> None:
        if (found := store.read("PRAGMA integrity_check")) != [("ok",)]:
            raise Loss(f"integrity_check: {found}")
        there: dict[int, list[tuple[int, int, bytes]]] = {}
        for id, n, i, x in store.read("SELECT id, n, i, x FROM t ORDER BY id"):
            there.setdefault(n, []).append((id, i, x))
        kept: dict[Any, Any] = dict(store.read("SELECT key, body FROM idempotency_keys"))
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
    """One seed: its number, its counts, what was lost."""
    logging.disable(logging.CRITICAL)  # each cut would be logged as the fault of the disk that it is
    run = Seed(seed)
    try:
        return seed, run.run(), None
    except Loss as loss:
        return seed, run.counts, str(loss)
    except Exception as error:  # a defect of the test, or a loss of an unknown kind: no pass either way
        return seed, run.counts, repr(error)
