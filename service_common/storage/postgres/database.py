"""PostgreSQL as the engine of a service's database: any number of replicas, which write one group at a time."""

import logging
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, LiteralString

import gevent
import psycopg
from prometheus_client import CollectorRegistry

from ..database import Kept, Probe, Row, Schema, Write, WriteLimits
from ..errors import CannotStart, OutcomeUnknown, Overloaded, StorageError, Unavailable
from ..group_commit import GroupCommit, Job, Outcome
from .connection import GROUP_S, Connection, check_cooperation, connect_to_write
from .failures import NOT_CONFIRMED, NOT_WRITTEN, is_conflict, is_own, was_rolled_back
from .migrate import migrate
from .readers import KeyLookups, Readers
from .statements import CONFIRMED_BY_ITSELF, TAKE_TURN, find_relations
from .transaction import NOT_ERRORS, DecidedMeanwhile, Transaction

START_PATIENCE_S = 30.0  # how long a start waits for the server
COMMIT_S = 10.0  # a COMMIT that is not answered by then is unknown
ATTEMPTS = 3  # of a group that the server rolls back for another one
BACKOFF_S = (0.1, 2.0)  # the first and the longest pause between attempts to connect

log = logging.getLogger("storage")
logging.getLogger("psycopg").setLevel(logging.ERROR)  # a lost connection is reported once, by us


class PostgresDatabase(GroupCommit):
    """A service's database on a server.

    A group is one transaction in three round trips: take the turn and find the keys; run the operations; keep the
    answers and commit. COMMIT is never sent before the turn was answered.
    """

    engine = "PostgreSQL"
    system = "postgresql"
    take_turn: LiteralString = TAKE_TURN

    def __init__(self, url: str, schema: Schema, limits: WriteLimits, registry: CollectorRegistry) -> None:
        """Connect to the database at `url` and migrate it to the newest version.

        Raises:
            CannotStart: that is not possible; the message says what to do.
        """
        check_cooperation()
        self._url = url
        self._schema = schema
        self._connection: Connection | None = None
        self._warnings: list[str] = []  # that the server has sent during the current COMMIT
        self._committing = False  # COMMIT was sent, and is not answered
        self._pause = 0.0  # after the next failed attempt to connect
        self._connect_after = 0.0  # monotonic
        self._start()
        self._readers = Readers(url)
        self._lookups = KeyLookups(self._readers)
        self._turn: Transaction | Exception | None = None  # taken for the next group
        super().__init__(limits, registry)

    def read(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of one query, as of the last commit. Raises Unavailable, Overloaded."""
        return self._readers.read(sql, values)

    def kept(self, key: str) -> Kept | None:
        """Return what was decided under a key, if anything was. Raises StorageError.

        With synchronous standbys a row may be visible and yet not on any of them: after a crash, a server shows commits
        that it had not confirmed to anybody. So what is found is told only when a commit behind it has been confirmed.
        """
        found = self._lookups.find(key)
        if found is not None and self.read(CONFIRMED_BY_ITSELF) != [(True,)]:
            self.write(Write(Probe()))
        return found

    def submit(self, write: Write) -> Job:
        """Queue a write without waiting for it. Raises Overloaded; Unavailable while the server is known to be away."""
        if self._connection is None and time.monotonic() < self._connect_after:
            refusal = Unavailable(NOT_WRITTEN)
            if write.ended is not None:
                write.ended(None, refusal)
            raise refusal
        return super().submit(write)

    def alive(self) -> bool:
        """Tell whether the writer runs. It does while the database is away: another process would not do better."""
        return not self._greenlet.dead

    def ready(self) -> bool:
        """Tell whether writes are accepted. While the database is away, every replica refuses them just as well."""
        return not self._closing and self.alive()

    def seems_ready(self) -> bool:
        return self.ready()

    def _write_next(self) -> None:
        with self._lookups.paused():
            super()._write_next()

    def _take(self) -> list[Job]:
        """Wait for the turn, then take the next jobs: those that came in the meantime are in the same transaction."""
        try:
            self._turn = Transaction(self._connected(), self.take_turn, self._waiting(), self._guard)
        except Exception as error:  # `_commit` raises it, for the jobs that it concerns
            self._turn = error
        jobs = super()._take()
        if not jobs:  # which is rare: all callers have given up
            self._disconnect()  # which gives the turn back, also where what followed it has failed
        return jobs

    def _waiting(self) -> list[Write]:
        """Return the writes that would be taken now."""
        writes: list[Write] = []
        rows = 0
        for job in self._queue:
            rows += job.write.rows
            if rows > self._limits.rows and writes:
                break
            if not job.abandoned:
                writes.append(job.write)
        return writes

    def _commit(self, writes: Sequence[Write]) -> list[Outcome]:
        turn, self._turn = self._turn, None
        alone = False
        for attempt in range(ATTEMPTS):
            try:
                if isinstance(turn, Exception):
                    raise turn
                turn = turn or Transaction(self._connected(), self.take_turn, writes, self._guard)
                return self._transact(turn, writes, alone)
            except (Exception, *NOT_ERRORS) as error:
                turn = None
                self._roll_back(error)
                if isinstance(error, DecidedMeanwhile):
                    self._note("retry", reason="a key was decided meanwhile")
                elif is_conflict(error):
                    self._note("retry", reason="the server rolled it back for another transaction")
                    gevent.sleep(random.random() * 0.01 * (attempt + 1))
                elif is_own(error) and not alone:
                    log.warning("one of %d writes failed, so each runs by itself: %s", len(writes), error)
                    self._note("retry", reason="a write failed, so each runs in a savepoint")
                    alone = True
                else:
                    raise
        raise Overloaded("The database is busy with other transactions. Nothing was written.")

    def _transact(self, turn: Transaction, writes: Sequence[Write], alone: bool) -> list[Outcome]:
        connection = turn.connection
        connection.within(GROUP_S)
        with turn.open_pipeline:
            outcomes = turn.run(self._relations, writes, alone)
            connection.check_open()  # what is found now, instead of an answer to COMMIT, leaves no doubt
            began = self._begin_commit()
            commit = self._send_commit(connection, outcomes)
        self._confirm(commit)
        self._metrics.commit.observe(self._committed_at - began)
        return outcomes

    def _roll_back(self, error: BaseException) -> None:
        """Roll back. Raises `error` where that was not possible, or COMMIT may have worked."""
        connection = self._connection
        if connection is None or connection.closed or (self._committing and not was_rolled_back(error)):
            raise error
        self._committing = False
        connection.within(GROUP_S)
        connection.execute("ROLLBACK")

    def _send_commit(self, connection: Connection, _outcomes: list[Outcome]) -> psycopg.Cursor[Row]:
        """Send COMMIT. The end of the pipeline waits for its answer."""
        self._warnings.clear()
        connection.within(COMMIT_S)
        self._committing = True
        return connection.execute("COMMIT")

    def _confirm(self, commit: psycopg.Cursor[Row]) -> None:
        """Check that COMMIT was answered without reservation."""
        if self._warnings:  # such as: "… has already committed locally, but might not have been replicated …"
            raise psycopg.Warning("; ".join(self._warnings))
        self._committing = False
        if commit.statusmessage != "COMMIT":  # the server makes a ROLLBACK of it where a statement failed before
            raise Unavailable(NOT_WRITTEN)
        self._committed_at = time.monotonic()

    def _recover(self, error: Exception) -> StorageError:
        """Close the connection, which rolls back what was not committed, and return the error for the callers."""
        committing, self._committing = self._committing, False
        self._disconnect()
        if committing and not was_rolled_back(error):
            return OutcomeUnknown(NOT_CONFIRMED)
        return Unavailable(NOT_WRITTEN)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _idle(self) -> None:
        """Connect again, so that the first write after an outage need not."""
        if self._connection is None:
            with suppress(Unavailable):
                self._connected()

    def _connected(self) -> Connection:
        """Return the writing connection. Raises Unavailable at once where the last attempt has just failed."""
        if self._connection is not None and not self._connection.closed:
            return self._connection
        if time.monotonic() < self._connect_after:
            raise Unavailable(NOT_WRITTEN)
        try:
            self._connection = self._connect()
        except psycopg.Error as error:
            shortest, longest = BACKOFF_S
            self._pause = min(max(self._pause * 2, shortest), longest)
            self._connect_after = time.monotonic() + self._pause * random.uniform(0.5, 1.0)
            log.error("the database cannot be reached: %s", error)
            raise Unavailable(NOT_WRITTEN) from None
        self._pause = 0.0
        return self._connection

    def _connect(self) -> Connection:
        connection = connect_to_write(self._url)
        connection.add_notice_handler(self._hear)
        return connection

    def _hear(self, notice: psycopg.errors.Diagnostic) -> None:
        """Remember each warning of the server: during COMMIT it means that the commit is not certain."""
        if (notice.severity_nonlocalized or notice.severity) == "WARNING":
            self._warnings.append(f"{notice.sqlstate}: {notice.message_primary}")

    def _start(self) -> None:
        """Connect and migrate. Raises CannotStart."""
        deadline = time.monotonic() + START_PATIENCE_S
        while True:
            try:
                self._connection = self._connect()
                break
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise CannotStart(
                        f"The database of DATABASE_URL cannot be reached: {_first_line(error)}. "
                        "Start the server or correct the URL, and start again."
                    ) from None
                log.warning("waiting for the database: %s", _first_line(error))
                time.sleep(0.5)
            except psycopg.Error as error:
                raise CannotStart(f"DATABASE_URL cannot be used: {_first_line(error)}.") from None
        try:
            migrate(self._connection, self._schema)
            self._relations = find_relations(self._connection, self._schema.tables)
        except psycopg.Error as error:
            raise CannotStart(
                f"The tables could not be brought up to date: {_first_line(error)}. Nothing was changed. "
                "Is it a database of this service, and does its role own it?"
            ) from None
        except BaseException:
            self._disconnect()
            raise
        if self._connection.execute("SHOW fsync").fetchall() != [("on",)]:
            log.warning("fsync is off on the server: a power cut can lose what was answered as written")

    def _close(self) -> None:
        self._disconnect()
        self._readers.close()


def _first_line(error: psycopg.Error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
