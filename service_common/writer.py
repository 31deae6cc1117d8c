"""Group commit: many writes, one transaction, one fsync, and only then the answers."""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import apsw
import gevent
from gevent.event import AsyncResult, Event
from gevent.threadpool import ThreadPool
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from .problems import Problem
from .store import Store, rollback

STUCK_S = 30.0  # a transaction that takes longer makes /livez fail
PROBE_S = 1.0  # how old the last commit may be for /readyz to trust it
LOCK_PATIENCE_S = 1.0  # how long a transaction waits where another program holds the lock
LOCK_PAUSE_S = 0.01
REOPEN_EVERY_S = 1.0  # how often a database that could not be opened again is tried while nobody writes

# What a statement can do wrong by itself; every other error is the storage's, and takes the transaction along.
OWN_ERRORS = (
    apsw.ConstraintError, apsw.SQLError, apsw.BindingsError, apsw.MismatchError, apsw.TooBigError, apsw.BusyError,
)  # fmt: skip

# What is no Exception, but in a job still concerns nobody else. KeyboardInterrupt is meant for the process.
NOT_ERRORS = (gevent.Timeout, gevent.GreenletExit, SystemExit)

log = logging.getLogger("writer")


class Job:
    """A write that waits: what to run, how many rows it weighs, and where its outcome goes."""

    __slots__ = ("abandoned", "outcome", "rows", "run", "taken")

    def __init__(self, run: Callable[[apsw.Connection], Any], rows: int) -> None:
        self.run = run
        self.rows = rows
        self.outcome = AsyncResult()
        self.taken = False
        self.abandoned = False

    def ended(self) -> bool:
        """Whether it will never run from here on: done, or given up before it was taken."""
        return self.abandoned or self.outcome.ready()


class Writer:
    """The one writer of a store.

    The statements run on the event loop, where they cost microseconds; only COMMIT, which waits for
    the disk, runs on a native thread. Whatever arrives meanwhile is the next transaction: the slower
    the disk, the larger the groups.
    """

    def __init__(
        self, store: Store, *, queue_limit: int, batch_rows: int, timeout: float, registry: CollectorRegistry
    ) -> None:
        """`timeout` in seconds is how long a caller waits; `batch_rows` bounds one transaction."""
        self._store = store
        self._queue: deque[Job] = deque()
        self._queue_limit = queue_limit
        self._batch_rows = batch_rows
        self._timeout = timeout
        self._wakeup = Event()
        self._closing = False
        self._thread = ThreadPool(1)
        self._busy_since = 0.0
        self._committed_at = 0.0
        self._needs_reopen = False
        self._groups = Histogram(
            "write_group_jobs",
            "Writes in one transaction.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
            registry=registry,
        )
        self._commit_seconds = Histogram("write_commit_seconds", "Time that COMMIT took.", registry=registry)
        self._failed = Counter("write_failed_groups", "Transactions that could not be committed.", registry=registry)
        Gauge("write_queue_jobs", "Writes that wait.", registry=registry).set_function(lambda: len(self._queue))
        self._greenlet = gevent.spawn(self._loop)

    def write(self, run: Callable[[apsw.Connection], Any], rows: int = 1) -> Any:
        """Run `run` in a transaction and return what it returns, once that is on disk.

        Raises:
            Problem: `overloaded`, `storage-unavailable`: nothing was written; `outcome-unknown`.
            Exception: what `run` raised; it alone was rolled back.
        """
        return self.wait(self.submit(run, rows))

    def wait(self, job: Job) -> Any:
        """What a submitted job returned, once that is on disk. Raises as `write` does."""
        try:
            return job.outcome.get(timeout=self._timeout)
        except gevent.Timeout:
            if job.taken:
                raise Problem(
                    "outcome-unknown", f"Not confirmed within {self._timeout:g} s. Send it again with the same key."
                ) from None
            job.abandoned = True
            raise Problem("overloaded", f"The write waited {self._timeout:g} s and was given up.") from None

    def submit(self, run: Callable[[apsw.Connection], Any], rows: int = 1) -> Job:
        """Queue a write without waiting for it.

        Raises:
            Problem: `overloaded`, the queue is full or closing.
        """
        if self._closing:
            raise Problem("overloaded", "The service is stopping.")
        if len(self._queue) >= self._queue_limit:
            raise Problem("overloaded", f"{self._queue_limit} writes are waiting.")
        job = Job(run, rows)
        self._queue.append(job)
        self._wakeup.set()
        return job

    def alive(self) -> bool:
        """Whether the writer runs and is not stuck in a transaction."""
        stuck = self._busy_since and time.monotonic() - self._busy_since > STUCK_S
        return not self._greenlet.dead and not stuck

    def ready(self) -> bool:
        """Whether the database can be written now, known from a commit no older than a second."""
        if self._closing or not self.alive():
            return False
        if time.monotonic() - self._committed_at < PROBE_S:
            return True
        try:
            self.write(touch)
        except Problem:
            return False
        return True

    def stop_accepting(self) -> None:
        """Refuse new writes and turn unready; what is queued is still written."""
        self._closing = True
        self._wakeup.set()

    def close(self, timeout: float) -> None:
        """Write what is queued, for at most `timeout` seconds, then close the store."""
        self.stop_accepting()
        self._greenlet.join(timeout=timeout)
        if not self._greenlet.dead:
            log.error("stopping with %d writes still queued: they were not acknowledged", len(self._queue))
            self._greenlet.kill()
        self._store.close()

    def _loop(self) -> None:
        while self._queue or not self._closing:
            if not self._queue:
                self._wakeup.clear()
                if not self._wakeup.wait(REOPEN_EVERY_S if self._needs_reopen else None) and not self._closing:
                    self._try_reopen()  # reads must not wait for a write to bring them back
            elif batch := self._take():
                self._write_batch(batch)

    def _take(self) -> list[Job]:
        """The next jobs, as many as one transaction may hold, without those whose caller has gone."""
        batch: list[Job] = []
        rows = 0
        while self._queue and (not batch or rows + self._queue[0].rows <= self._batch_rows):
            job = self._queue.popleft()
            if not job.abandoned:
                job.taken = True
                batch.append(job)
                rows += job.rows
        return batch

    def _write_batch(self, batch: list[Job]) -> None:
        self._busy_since = time.monotonic()
        try:
            outcomes = self._transact(batch)
        except Exception as error:
            self._failed.inc()
            self._committed_at = 0.0
            log.error("a transaction of %d writes failed: %s", len(batch), error)
            failure = error if isinstance(error, Problem) else self._recover(error)
            for job in batch:
                job.outcome.set_exception(failure)
        else:
            self._groups.observe(len(batch))
            for job, (value, failed) in zip(batch, outcomes, strict=True):
                if failed is None:
                    job.outcome.set(value)
                else:
                    job.outcome.set_exception(failed)
        finally:
            self._busy_since = 0.0

    def _transact(self, batch: list[Job]) -> list[tuple[Any, Exception | None]]:
        """Run the jobs, such that each fails alone, and commit; their values or exceptions."""
        if self._needs_reopen:
            self._reopen()
        self._store.check_in_place()
        db = self._store.writing
        self._begin(db)
        if (outcomes := run_plainly(db, batch)) is None:
            rollback(db)
            self._begin(db)
            outcomes = [run_alone(db, job.run) for job in batch]
        began, written = time.monotonic(), pages_written(db)
        try:
            self._off_loop(db.execute, "COMMIT")
        except apsw.FullError:
            raise  # the commit record did not fit: nothing of the transaction can come back
        except apsw.Error:
            self._needs_reopen = True
            raise
        self._commit_seconds.observe(time.monotonic() - began)
        if pages_written(db) != written:  # else it has asked nothing of the disk, and says nothing of it
            self._committed_at = time.monotonic()
        return outcomes

    def _begin(self, db: apsw.Connection) -> None:
        """Begin the transaction. Where another program holds the lock, wait a little, and let the loop go on."""
        deadline = time.monotonic() + LOCK_PATIENCE_S
        while True:
            try:
                db.execute("BEGIN IMMEDIATE")
                return
            except apsw.BusyError:
                if time.monotonic() > deadline:
                    raise
            gevent.sleep(LOCK_PAUSE_S)

    def _recover(self, error: Exception) -> Problem:
        """Bring the store back after a failed transaction, and say what its callers are told.

        A COMMIT whose fsync failed may have left its transaction whole in the write-ahead log, where the next
        opening of the file would take it for committed. A later commit overwrites it there: only when one has
        succeeded is it certain that nothing was written.
        """
        certain = not self._needs_reopen
        try:
            rollback(self._store.writing)
            if self._needs_reopen:
                self._off_loop(touch, self._store.writing)
                certain = True
        except apsw.Error as again:
            self._needs_reopen = True
            log.error("the disk still fails: %s", again)
        if self._needs_reopen:
            self._try_reopen()
        if certain:
            return Problem("storage-unavailable", "The database could not be written. Try again later.")
        return Problem("outcome-unknown", "The disk failed during the commit. Send it again with the same key.")

    def _reopen(self) -> None:
        """Open the store anew; until that works, every write is refused."""
        try:
            self._off_loop(self._store.reopen)
        except Problem:
            raise
        except Exception as error:
            log.error("reopening failed: %s", error)
            raise Problem("storage-unavailable", "The database cannot be opened at the moment.") from error
        self._needs_reopen = False
        log.warning("the database was reopened after an I/O error")

    def _try_reopen(self) -> None:
        """Open the store anew, if that works; else the next write tries again, or the loop after a while."""
        try:
            self._reopen()
        except Problem as again:
            log.error("%s", again.detail)

    def _off_loop(self, call: Callable[..., Any], *args: Any) -> Any:
        """Run what waits for the disk on the native thread; its result, or its exception raised here."""

        def guarded() -> tuple[Any, Exception | None]:
            try:
                return call(*args), None
            except Exception as error:  # handed over: the pool would print it too
                return None, error

        value, failed = self._thread.apply(guarded)
        if failed is not None:
            raise failed
        return value


def run_plainly(db: apsw.Connection, jobs: Sequence[Job]) -> list[tuple[Any, Exception | None]] | None:
    """Run jobs without savepoints: their values or exceptions; None where one failed that had changed rows before.

    A savepoint has SQLite keep the old content of each page that is changed in it: for many rows in random places of
    the indices that costs more than all the rest. Few jobs fail, and those fail in their first statement, which leaves
    nothing behind. Where one does leave something, all run anew, each in a savepoint; so a job only writes rows, and
    may run twice.

    Raises:
        apsw.Error: the storage failed, and with it the whole transaction.
    """
    outcomes: list[tuple[Any, Exception | None]] = []
    for job in jobs:
        before = db.total_changes()
        try:
            outcomes.append((job.run(db), None))
        except (Exception, *NOT_ERRORS) as raised:
            outcomes.append((None, own_error(db, raised)))
            if db.total_changes() != before:
                return None
    return outcomes


def run_alone(db: apsw.Connection, run: Callable[[apsw.Connection], Any]) -> tuple[Any, Exception | None]:
    """Run one job in a savepoint: its value, or the exception that rolled it back. Raises as `run_plainly` does."""
    db.execute("SAVEPOINT job")
    try:
        value = run(db)
    except (Exception, *NOT_ERRORS) as raised:
        error = own_error(db, raised)
        db.execute("ROLLBACK TO job")
        db.execute("RELEASE job")
        return None, error
    db.execute("RELEASE job")
    return value, None


def own_error(db: apsw.Connection, raised: BaseException) -> Exception:
    """The exception that a job is answered with; raised instead where it is the storage's."""
    error = raised if isinstance(raised, Exception) else ended_by(raised)
    if not db.in_transaction or (isinstance(error, apsw.Error) and not isinstance(error, OWN_ERRORS)):
        raise error from error.__cause__
    return error


def ended_by(reason: BaseException) -> Exception:
    """What a caller gets whose job raised what would have ended the writer's greenlet."""
    error = RuntimeError(f"a write ended with {type(reason).__name__}")
    error.__cause__ = reason
    return error


def pages_written(db: apsw.Connection) -> int:
    """How many pages a connection has ever written."""
    return db.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE)[0]


def touch(db: apsw.Connection) -> None:
    """A write that changes nothing, to see whether one is possible."""
    db.pragma("user_version", db.pragma("user_version"))
