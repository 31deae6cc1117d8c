"""One SQLite file: its schema, its one writing connection and its reads."""

import fcntl
import logging
import os
import re
import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import apsw

from .problems import Problem

Row = tuple[Any, ...]
Identity = tuple[int, int]  # of a file: its device and inode

# Older ones can corrupt a WAL database when two connections write or checkpoint at the same moment:
# https://www.sqlite.org/wal.html#walresetbug
OLDEST_SQLITE = (3, 51, 3)
LOCK_WAIT_S = 30.0  # a predecessor that is draining still holds the lock
BUSY_TIMEOUT_MS = 5000
WRITE_CACHE_KIB = 16 << 10  # what a large batch changes in random places of the indices should fit

# What to do about an error that keeps a service from starting; of several that match, the first.
ADVICE: tuple[tuple[type[apsw.Error], str], ...] = (
    (apsw.FullError, "The disk is full: make room and start again. Nothing was changed."),
    (apsw.IOError, "The disk is full or broken: make room or mend it, and start again. Nothing was changed."),
    (apsw.BusyError, "Another program holds a lock on it: end that program's transaction and start again."),
    (apsw.ReadOnlyError, "Make the file and its directory writable, or set another DATA_DIR."),
    (apsw.CorruptError, "The file is damaged: restore it from a backup, or set another DATA_DIR. Nothing was changed."),
    (apsw.Error, "Is it an SQLite database of this service?"),
)

log = logging.getLogger("store")


class Unstartable(SystemExit):
    """The service cannot start on this database; the message says what to do."""


def check_sqlite(version: str = apsw.sqlite_lib_version()) -> None:
    """Refuse an SQLite that may corrupt a WAL database.

    Raises:
        Unstartable: `version` is older than 3.51.3.
    """
    if tuple(int(part) for part in version.split(".")[:3]) < OLDEST_SQLITE:
        raise Unstartable(
            f"SQLite {version} can corrupt a database in WAL mode; this needs "
            f"{'.'.join(map(str, OLDEST_SQLITE))} or newer. Install the locked requirements again."
        )


def steps(schema: str) -> list[str]:
    """The steps of a schema file: what stands between its lines `-- version N`, N counting from 1."""
    parts = re.split(r"^-- version (\d+)\b.*$", schema, flags=re.MULTILINE)
    numbers = [int(number) for number in parts[1::2]]
    if parts[0].strip() or numbers != list(range(1, len(numbers) + 1)):
        raise ValueError(f"a schema starts with `-- version 1` and counts on by one, not {numbers}")
    return parts[2::2]


def migrate(db: apsw.Connection, schema: str) -> None:
    """Bring a database to the newest version of `schema`, in one transaction or not at all.

    Raises:
        Unstartable: the database is of a newer version than `schema` knows.
    """
    todo = steps(schema)
    with db:
        version: int = db.pragma("user_version")
        if version > len(todo):
            raise Unstartable(
                f"{db.filename} has schema version {version}, this program knows {len(todo)}. "
                "Start a newer program, or one with another DATA_DIR."
            )
        db.execute(resources.files(__package__).joinpath("schema.sql").read_text(encoding="utf-8"))
        for step in todo[version:]:
            db.execute(step)
        db.pragma("user_version", len(todo))


class Store:
    """The database file of a service, with one writing and one reading connection.

    Reads are for the thread of the event loop: each takes microseconds, less than handing it to
    another thread. The writing connection belongs to the writer (see writer.py).
    """

    def __init__(self, path: Path, schema: str, vfs: str | None = None) -> None:
        check_sqlite()
        self.path = path
        self._schema = schema
        self._vfs = vfs
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = self._take_lock()
        except OSError as error:
            raise Unstartable(
                f"{path.parent} cannot be used for data ({error.strerror}): make it writable or set DATA_DIR."
            ) from None
        self.writing: apsw.Connection
        self._reading: apsw.Connection
        self._identities: dict[str, Identity] = {}  # of the files, as they were opened
        try:
            self._refuse_orphaned_log()
            self.open()
            if not self.discard_log():
                log.warning("%s-wal cannot be moved into the database now: another program reads, or it fails", path)
        except BaseException as error:
            os.close(self._lock)
            if not isinstance(error, apsw.Error):
                raise
            advice = next(text for kind, text in ADVICE if isinstance(error, kind))
            raise Unstartable(f"{path} cannot be opened: {error}. {advice}") from None

    def _take_lock(self) -> int:
        """Hold the file that makes this process the only one with a writing connection."""
        handle = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        deadline = time.monotonic() + LOCK_WAIT_S
        waiting = False
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return handle
            except BlockingIOError:
                if not waiting:
                    waiting = True
                    log.warning("%s is in use: waiting for the process that has it to end", self.path)
                if time.monotonic() > deadline:
                    os.close(handle)
                    raise Unstartable(
                        f"{self.path} is in use by another process: a database has one writer. "
                        "Stop that process, or set another DATA_DIR."
                    ) from None
                time.sleep(0.1)

    def _refuse_orphaned_log(self) -> None:
        """Do not begin anew beside a log whose database is gone: SQLite would delete it with the writes in it."""
        log_path = self.path.with_name(f"{self.path.name}-wal")
        if not size_of(self.path) and size_of(log_path):
            raise Unstartable(
                f"{self.path} is missing or empty, but {log_path} holds writes of it: put the database back, "
                "or delete that file too to begin with an empty database."
            )

    def open(self) -> None:
        """Open both connections; migrate first."""
        self.writing = apsw.Connection(str(self.path), vfs=self._vfs)
        self.writing.set_busy_timeout(BUSY_TIMEOUT_MS)
        if self.writing.pragma("journal_mode", "wal") != "wal":
            raise Unstartable(f"{self.path}: this file system cannot hold an SQLite database in WAL mode.")
        self.writing.pragma("synchronous", "full")
        self.writing.pragma("cache_size", -WRITE_CACHE_KIB)  # a page that does not fit is written more than once
        self.writing.pragma("fullfsync", True)  # on macOS a plain fsync does not reach the disk
        migrate(self.writing, self._schema)
        self.writing.pragma("temp_store", "memory")  # no transaction fails for a temporary file
        self._reading = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY, vfs=self._vfs)
        self._reading.set_busy_timeout(BUSY_TIMEOUT_MS)
        self.writing.set_busy_timeout(0)  # the writer waits for a lock without holding up the event loop
        files = (str(self.path), f"{self.path}-wal")
        self._identities = {path: found for path in files if (found := identity_of(path))}

    def check_in_place(self) -> None:
        """See that the files are those that were opened: what is written to a deleted one goes with the process.

        Raises:
            Problem: `storage-unavailable`.
        """
        for path, opened in self._identities.items():
            if identity_of(path) != opened:
                log.error("%s was deleted or replaced while in use: nothing more is written; restart to use what is "
                          "there now", path)  # fmt: skip
                raise Problem("storage-unavailable", "The database file was deleted or replaced while in use.")

    def read(self, sql: str, bindings: Sequence[Any] = ()) -> list[Row]:
        """All rows of one query, as of the last commit.

        Raises:
            Problem: `storage-unavailable`, the file cannot be read now.
        """
        try:
            return self._reading.execute(sql, bindings).fetchall()
        except (apsw.SQLError, apsw.BindingsError):
            raise  # a defect of ours, not of the disk
        except apsw.Error as error:
            log.error("read failed: %s", error)
            raise Problem("storage-unavailable", "The database cannot be read at the moment.") from error

    def discard_log(self) -> bool:
        """Move what is committed out of the write-ahead log and empty it; whether that worked."""
        try:
            busy, _, _ = self.writing.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0]
        except apsw.Error:
            return False
        return not busy

    def reopen(self) -> None:
        """Open anew after an I/O error: what the connections have cached is no longer to be trusted.

        Nor is the log: of a sync that failed the kernel may keep pages that look written and never were. So all that it
        holds goes into the database before anything is acknowledged behind it, which a power cut would lose with it.

        Raises:
            apsw.Error: that does not work now; reads may do.
        """
        self._identities = {path: opened for path, opened in self._identities.items() if path == str(self.path)}
        self.check_in_place()  # the log goes with its last connection, the database must not
        self._close_connections()
        self.open()
        if not self.discard_log():
            raise apsw.BusyError("the log cannot be moved into the database")

    def close(self) -> None:
        """Checkpoint, close, and let the next process in."""
        try:
            self.discard_log()
            self._close_connections()
        finally:
            os.close(self._lock)

    def _close_connections(self) -> None:
        for connection in (self._reading, self.writing):
            connection.close(force=True)


def size_of(path: Path) -> int:
    """The size of a file in bytes; 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def identity_of(path: str) -> Identity | None:
    """Which file a path leads to now; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def rollback(db: apsw.Connection) -> None:
    """End the transaction, if the error that broke it has not already."""
    if db.in_transaction:
        db.execute("ROLLBACK")
