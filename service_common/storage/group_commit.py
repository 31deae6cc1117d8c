"""Group commit: many writes, one transaction, one sync, and only then the answers. Shared by the engines.

Writes that arrive while a transaction is being committed wait in a queue, and are the next group. So groups grow with
the load and with the slowness of the disk, without a timer.
"""

import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import AsyncResult, Event
from prometheus_client import CollectorRegistry

from ..telemetry.current_span import current_span
from .database import Probe, Procedure, Write, WriteLimits
from .errors import OutcomeUnknown, Overloaded, StorageError
from .measures import WriterMetrics

if TYPE_CHECKING:
    from ..telemetry.tracing.span import Shared, Span

STUCK_S = 30.0  # a transaction that takes longer makes /livez fail
TRUSTED_S = 1.0  # age of the last commit up to which /readyz trusts it
IDLE_EVERY_S = 1.0  # how often an idle engine looks after itself

Outcome = tuple[Any, Exception | None]  # of one write: its value, or what it raised

log = logging.getLogger("storage")


class Job:
    """A write in the queue, and where its outcome goes."""

    __slots__ = ("abandoned", "outcome", "queued_at", "taken", "waiting", "write")

    def __init__(self, write: Write) -> None:
        self.write = write
        self.queued_at = time.monotonic()
        span = current_span.get()
        self.waiting: Span | None = None if span is None else span.child("wait for the writer")
        self.outcome = AsyncResult()
        self.taken = False  # it is in a transaction, or has been
        self.abandoned = False  # its caller was refused before it was taken

    def end(self, value: Any, error: Exception | None) -> None:
        """Hand the outcome to the caller, and to `write.ended`."""
        if error is None:
            self.outcome.set(value)
        else:
            self.outcome.set_exception(error)
        if self.write.ended is not None:
            self.write.ended(value, error)


class GroupCommit:
    """A queue of writes and the one greenlet that writes them. An engine says how a group is committed."""

    engine = ""  # its name
    system = ""  # its name in spans
    exclusive = False  # a lock proves that no other process has the database open

    def __init__(self, limits: WriteLimits, registry: CollectorRegistry) -> None:
        self._limits = limits
        self._queue: deque[Job] = deque()
        self._wakeup = Event()
        self._closing = False
        self._guard: Procedure | None = None
        self._busy_since = 0.0  # monotonic; 0: no transaction is open
        self._committed_at = 0.0  # monotonic; when a commit last reached the disk
        self._last_worked = True  # the last transaction was committed, or there was none yet
        self._metrics = WriterMetrics(self.engine, limits.queue, lambda: len(self._queue), self.was_writable, registry)
        self._traced: Shared | None = None  # the transaction under way, where a request in it is traced
        self._greenlet = gevent.spawn(self._loop)

    # What an engine implements.

    def _commit(self, writes: Sequence[Write]) -> list[Outcome]:
        """Make one durable transaction of `writes` and return their outcomes. One that fails rolls back alone.

        Raises:
            Exception: the whole transaction failed; `_recover` returns the error for the callers.
        """
        raise NotImplementedError

    def _recover(self, error: Exception) -> StorageError:
        """Make the engine usable again after a failed transaction, and return the error for its callers."""
        raise NotImplementedError

    def _idle(self) -> None:
        """Do what an engine has to do while nobody writes. Called about once a second."""

    def _close(self) -> None:
        """Close the connections."""
        raise NotImplementedError

    # What services use: see database.py.

    def write(self, write: Write) -> Any:
        """Make a write and return its outcome, once that is on disk.

        Raises:
            StorageError: see errors.py.
            Exception: a defect of the write; it alone was rolled back.
        """
        return self.wait(self.submit(write))

    def submit(self, write: Write) -> Job:
        """Queue a write without waiting for it.

        Raises:
            Overloaded: the queue is full or closing.
        """
        refusal = None
        if self._closing:
            refusal = Overloaded("The service is stopping.")
        elif len(self._queue) >= self._limits.queue:
            refusal = Overloaded(f"{self._limits.queue} writes are waiting.")
        if refusal is not None:
            if write.ended is not None:
                write.ended(None, refusal)
            raise refusal
        job = Job(write)
        self._queue.append(job)
        self._metrics.longest.note(len(self._queue), job.queued_at)
        self._wakeup.set()
        return job

    def wait(self, job: Job) -> Any:
        """Return the outcome of a queued write. Raises as `write` does."""
        try:
            return job.outcome.get(timeout=self._limits.timeout)
        except gevent.Timeout:
            seconds = f"{self._limits.timeout:g} s"
            if job.taken:
                raise OutcomeUnknown(f"Not confirmed within {seconds}. Send it again with the same key.") from None
            job.abandoned = True
            refused = Overloaded(f"The write waited {seconds} and was given up.")
            if job.waiting is not None:
                job.waiting.fail(refused)
                job.waiting.end()
            if job.write.ended is not None:
                job.write.ended(None, refused)
            raise refused from None

    def guard(self, procedure: Procedure) -> None:
        """Run `procedure` in every transaction from here on, before its first write."""
        self._guard = procedure

    def alive(self) -> bool:
        """Return whether the writer runs and is not stuck in a transaction."""
        stuck = self._busy_since and time.monotonic() - self._busy_since > STUCK_S
        return not self._greenlet.dead and not stuck

    def was_writable(self) -> bool:
        """Return whether the last write worked and the next one would be taken. Asks nobody."""
        return not self._closing and self.alive() and self._last_worked

    def writable(self) -> bool:
        """Return whether the database can be written now, from a commit that is no older than a second."""
        if self._closing or not self.alive():
            return False
        if time.monotonic() - self._committed_at < TRUSTED_S:
            return True
        try:
            self.write(Write(Probe()))
        except StorageError:
            return False
        return True

    def ready(self) -> bool:
        """Return whether a front door may send requests here: with one process, if its database can be written."""
        return self.writable()

    def seems_ready(self) -> bool:
        """Return what `ready` would, as far as that is known without a write."""
        return self.was_writable()

    def stop_accepting(self) -> None:
        """Refuse new writes and turn unready. What is queued is still written."""
        self._closing = True
        self._wakeup.set()

    def close(self, timeout: float) -> None:
        """Write what is queued, for at most `timeout` seconds, then close."""
        self.stop_accepting()
        self._greenlet.join(timeout=timeout)
        if not self._greenlet.dead:
            log.error("stopping with %d writes still queued: they were not acknowledged", len(self._queue))
            self._greenlet.kill()
        self._close()

    def _loop(self) -> None:
        while self._queue or not self._closing:
            if self._queue:
                self._write_next()
                continue
            self._wakeup.clear()
            if not self._wakeup.wait(IDLE_EVERY_S) and not self._closing:
                try:
                    self._idle()
                except Exception:  # a second later it is tried again; the writer must not end
                    log.exception("looking after the idle database failed")

    def _write_next(self) -> None:
        """Take the next jobs, and write them."""
        if jobs := self._take():
            self._write_group(jobs)

    def _take(self) -> list[Job]:
        """Take the next jobs, as many as one transaction may hold, without those whose callers were refused."""
        jobs: list[Job] = []
        rows = 0
        now = time.monotonic()
        while self._queue and (not jobs or rows + self._queue[0].write.rows <= self._limits.rows):
            job = self._queue.popleft()
            if not job.abandoned:
                job.taken = True
                self._metrics.wait.observe(now - job.queued_at)
                jobs.append(job)
                rows += job.write.rows
        return jobs

    def _write_group(self, jobs: list[Job]) -> None:
        self._busy_since = time.monotonic()
        waited = [job.waiting for job in jobs if job.waiting is not None]
        self._traced = self._trace(waited, len(jobs)) if waited else None
        try:
            outcomes = self._commit([job.write for job in jobs])
        except Exception as error:
            if self._traced is not None:
                self._traced.end(error)
            self._metrics.failed.add()
            self._committed_at = 0.0
            self._last_worked = False
            log.error("a transaction of %d writes failed: %s", len(jobs), error)
            failure = error if isinstance(error, StorageError) else self._recover(error)
            for job in jobs:
                job.end(None, failure)
        else:
            if self._traced is not None:
                self._traced.end()
            self._last_worked = True
            self._metrics.group.observe(len(jobs))
            for job, (value, failed) in zip(jobs, outcomes, strict=True):
                job.end(value, failed)
        finally:
            self._busy_since = 0.0

    def _trace(self, waited: list["Span"], jobs: int) -> "Shared":
        """Begin the spans of a transaction of so many jobs; those in `waited` are traced."""
        from ..telemetry.tracing.span import Shared

        return Shared(
            [span.then("transaction", {"db.system.name": self.system}) for span in waited],
            {"threefold.group.size": jobs},
        )

    def _note(self, event: str, **attributes: str | int) -> None:
        """Note an event of the transaction under way, where that is traced."""
        if self._traced is not None:
            self._traced.first.event(event, **attributes)

    def _begin_commit(self) -> float:
        """Note that COMMIT begins, and return the time."""
        if self._traced is not None:
            about = {"db.system.name": self.system, "db.operation.name": "COMMIT"}
            self._traced.ask("COMMIT", about)
        return time.monotonic()
