"""SQLite as the engine of a service's database: one file, one writing connection, one process."""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apsw
from gevent.threadpool import ThreadPool
from prometheus_client import CollectorRegistry

from ...telemetry.measures import Gauge
from ..database import Kept, Row, Schema, Write, WriteLimits
from ..errors import OutcomeUnknown, StorageError, Unavailable
from ..group_commit import GroupCommit, Outcome
from .file import DatabaseFile, rollback, size_of
from .statements import FIND_KEY, Statements, executor, found, probe

log = logging.getLogger("storage")


class SqliteDatabase(GroupCommit):
    """A service's database in a file.

    The statements run on the event loop, where they take microseconds. Only COMMIT, which waits for the disk, runs on
    a native thread.
    """

    engine = "SQLite"
    system = "sqlite"
    exclusive = True

    def __init__(
        self, path: Path, schema: Schema, limits: WriteLimits, registry: CollectorRegistry, vfs: str | None = None
    ) -> None:
        """Open the database at `path`, make it where there is none, and migrate it to the newest version.

        Raises:
            CannotStart: that is not possible; the message says what to do.
        """
        self.file = DatabaseFile(path, schema.sql, vfs)
        self._statements = Statements(schema.tables)
        self._thread = ThreadPool(1)
        self._needs_reopen = False
        super().__init__(limits, registry)
        Gauge("storage_database_bytes", "Size of the database file.", registry, lambda: size_of(self.file.path))
        Gauge("storage_wal_bytes", "Size of the write-ahead log.", registry, lambda: size_of(self.file.log_path))

    def read(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of one query, as of the last commit. Raises Unavailable.

        Reads run on the event loop: each takes microseconds, less than handing it to another thread.
        """
        try:
            return self.file.reading.execute(sql, values).fetchall()
        except (apsw.SQLError, apsw.BindingsError):
            raise  # a defect of ours, not of the disk
        except apsw.Error as error:
            log.error("read failed: %s", error)
            raise Unavailable("The database cannot be read at the moment.") from error

    def kept(self, key: str) -> Kept | None:
        """Return what was decided under a key, if anything was. Raises Unavailable."""
        rows = self.read(FIND_KEY, (key,))
        return found(rows[0]) if rows else None

    def _commit(self, writes: Sequence[Write]) -> list[Outcome]:
        if self._needs_reopen:
            self._reopen()
        db = self._begin()
        if (outcomes := self._statements.run_plainly(db, writes)) is None:
            self._note("retry", reason="a write failed late, so each runs in a savepoint")
            rollback(db)
            db = self._begin()
            outcomes = self._statements.run_in_savepoints(db, writes)
        began, written = self._begin_commit(), pages_written(db)
        try:
            self._off_loop(db.execute, "COMMIT")
        except apsw.FullError:
            raise  # the commit record did not fit: nothing of the transaction can come back
        except apsw.Error:
            self._needs_reopen = True
            raise
        self._metrics.commit.observe(time.monotonic() - began)
        if pages_written(db) != written:  # an empty COMMIT proves nothing about the disk
            self._committed_at = time.monotonic()
        return outcomes

    def _begin(self) -> apsw.Connection:
        """Begin a transaction and run the guard in it. Return its connection."""
        self.file.begin()
        db = self.file.writing
        if self._guard is not None:
            try:
                self._guard.run(executor(db))
            except BaseException:
                rollback(db)
                raise
        return db

    def _recover(self, error: Exception) -> StorageError:
        """Bring the file back after a failed transaction, and return the error for its callers.

        A COMMIT whose sync failed may have left its transaction whole in the write-ahead log. The next opening of the
        file would take it for committed. A later commit overwrites it there: only when one has succeeded is it certain
        that nothing was written.
        """
        certain = not self._needs_reopen
        try:
            rollback(self.file.writing)
            if self._needs_reopen:
                self._off_loop(probe, self.file.writing)
                certain = True
        except apsw.Error as again:
            self._needs_reopen = True
            log.error("the disk still fails: %s", again)
        if self._needs_reopen:
            self._try_reopen()
        if certain:
            return Unavailable("The database could not be written. Try again later.")
        return OutcomeUnknown("The disk failed during the commit. Send it again with the same key.")

    def _idle(self) -> None:
        """Reopen a file that could not be reopened, so that reads need no write to come back. Shrink a long log."""
        if self._needs_reopen:
            self._try_reopen()
        elif self.file.log_is_long():
            self._off_loop(self.file.empty_log)

    def _reopen(self) -> None:
        """Open the file anew. Raises Unavailable where that does not work: until it does, every write is refused."""
        try:
            self._off_loop(self.file.reopen)
        except StorageError:
            raise
        except Exception as error:
            log.error("reopening failed: %s", error)
            raise Unavailable("The database cannot be opened at the moment.") from error
        self._needs_reopen = False
        log.warning("the database was reopened after an I/O error")

    def _try_reopen(self) -> None:
        """Open the file anew, if that works. If not, the next write tries again, or `_idle` does."""
        try:
            self._reopen()
        except StorageError as again:
            log.error("%s", again)

    def _off_loop(self, call: Callable[..., Any], *args: Any) -> Any:
        """Run on the native thread what waits for the disk. Return its result, or raise its exception here."""

        def guarded() -> tuple[Any, Exception | None]:
            try:
                return call(*args), None
            except Exception as error:  # the thread pool would print it, too
                return None, error

        value, failed = self._thread.apply(guarded)
        if failed is not None:
            raise failed
        return value

    def _close(self) -> None:
        self.file.close()


def pages_written(db: apsw.Connection) -> int:
    """Return how many pages a connection has ever written."""
    return db.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE)[0]
