"""One SQLite file: its lock, its schema, its writing and its reading connection."""

import fcntl
import logging
import os
import time
from importlib import resources
from pathlib import Path

import apsw
import gevent

from ..errors import CannotStart, Unavailable
from ..migrations import steps

Identity = tuple[int, int]  # of a file: its device and inode

# Older ones can corrupt a WAL database when two connections write or checkpoint at the same moment:
# https://www.sqlite.org/wal.html#walresetbug
OLDEST_SQLITE = (3, 51, 3)
PREDECESSOR_WAIT_S = 30.0  # how long a start waits for a predecessor that is draining
LOCK_PATIENCE_S = 1.0  # how long a transaction waits while another program holds the lock
LOCK_PAUSE_S = 0.01
BUSY_TIMEOUT_MS = 5000
WRITE_CACHE_KIB = 16 << 10  # room for what a large batch changes in random places of the indices
LOG_LIMIT = 16 << 20  # bytes; SQLite checkpoints at 4 MiB, so a longer log was kept long by a reader or a large batch

# What to do about an error that keeps a service from starting; of several that match, the first.
ADVICE: tuple[tuple[type[apsw.Error], str], ...] = (
    (apsw.FullError, "The disk is full: make room and start again. Nothing was changed."),
    (apsw.IOError, "The disk is full or broken: make room or repair it, and start again. Nothing was changed."),
    (apsw.BusyError, "Another program holds a lock on it: end that program's transaction and start again."),
    (apsw.ReadOnlyError, "Make the file and its directory writable, or set another DATA_DIR."),
    (apsw.CorruptError, "The file is damaged: restore it from a backup, or set another DATA_DIR. Nothing was changed."),
    (apsw.Error, "Is it an SQLite database of this service?"),
)

log = logging.getLogger("storage")


def check_sqlite(version: str = apsw.sqlite_lib_version()) -> None:
    """Refuse an SQLite that may corrupt a WAL database.

    Raises:
        CannotStart: `version` is older than 3.51.3.
    """
    if tuple(int(part) for part in version.split(".")[:3]) < OLDEST_SQLITE:
        raise CannotStart(
            f"SQLite {version} can corrupt a database in WAL mode; this needs "
            f"{'.'.join(map(str, OLDEST_SQLITE))} or newer. Install the locked requirements again."
        )


def migrate(db: apsw.Connection, schema: str) -> None:
    """Bring a database to the newest version of `schema`, in one transaction.

    Raises:
        CannotStart: the database is of a newer version than `schema` knows.
    """
    todo = steps(schema)
    with db:
        version: int = db.pragma("user_version")
        if version > len(todo):
            raise CannotStart(
                f"{db.filename} has schema version {version}, this program knows {len(todo)}. "
                "Start a newer program, or one with another DATA_DIR."
            )
        db.execute(resources.files(__package__).joinpath("idempotency_keys.sql").read_text(encoding="utf-8"))
        for step in todo[version:]:
            db.execute(step)
        db.pragma("user_version", len(todo))


class DatabaseFile:
    """The file of a database, with one writing and one reading connection."""

    def __init__(self, path: Path, schema: str, vfs: str | None = None) -> None:
        check_sqlite()
        self.path = path
        self._schema = schema
        self._vfs = vfs
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = self._take_lock()
        except OSError as error:
            raise CannotStart(
                f"{path.parent} cannot be used for data ({error.strerror}): make it writable or set DATA_DIR."
            ) from None
        self.writing: apsw.Connection
        self.reading: apsw.Connection
        self.log_path = path.with_name(f"{path.name}-wal")
        self._identities: dict[str, Identity] = {}  # of the files, as they were opened
        try:
            self._refuse_orphaned_log()
            self.open()
            if not self.empty_log():
                log.warning("%s cannot be checkpointed now: another program reads, or the disk fails", self.log_path)
        except BaseException as error:
            os.close(self._lock)
            if not isinstance(error, apsw.Error):
                raise
            advice = next(text for kind, text in ADVICE if isinstance(error, kind))
            raise CannotStart(f"{path} cannot be opened: {error}. {advice}") from None

    def _take_lock(self) -> int:
        """Lock a file beside the database, so that no other process writes to it."""
        handle = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        deadline = time.monotonic() + PREDECESSOR_WAIT_S
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
                    raise CannotStart(
                        f"{self.path} is in use by another process: a database has one writer. "
                        "Stop that process, or set another DATA_DIR."
                    ) from None
                time.sleep(0.1)

    def _refuse_orphaned_log(self) -> None:
        """Refuse to start beside a log whose database is gone: SQLite would delete the log and the writes in it."""
        if not size_of(self.path) and size_of(self.log_path):
            raise CannotStart(
                f"{self.path} is missing or empty, but {self.log_path} holds writes of it: put the database back, "
                "or delete that file too to begin with an empty database."
            )

    def open(self) -> None:
        """Open both connections and migrate."""
        self.writing = apsw.Connection(str(self.path), vfs=self._vfs)
        self.writing.set_busy_timeout(BUSY_TIMEOUT_MS)
        if self.writing.pragma("journal_mode", "wal") != "wal":
            raise CannotStart(f"{self.path}: this file system cannot hold an SQLite database in WAL mode.")
        self.writing.pragma("synchronous", "full")
        self.writing.pragma("cache_size", -WRITE_CACHE_KIB)  # a page that does not fit is written more than once
        self.writing.pragma("journal_size_limit", LOG_LIMIT)  # the first commit after a reset shortens a longer log
        self.writing.pragma("fullfsync", True)  # on macOS a plain fsync does not reach the disk
        migrate(self.writing, self._schema)
        self.writing.pragma("temp_store", "memory")  # no transaction fails for a temporary file
        self.reading = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY, vfs=self._vfs)
        self.reading.set_busy_timeout(BUSY_TIMEOUT_MS)
        self.writing.set_busy_timeout(0)  # the engine waits for a lock itself, without blocking the event loop
        files = (str(self.path), str(self.log_path))
        self._identities = {path: found for path in files if (found := identity_of(path))}

    def begin(self) -> None:
        """Begin a transaction. While another program holds the lock, wait a little and let the event loop go on.

        Raises:
            Unavailable: the file was deleted or replaced.
            apsw.BusyError: the lock was held for too long.
        """
        self.check_in_place()
        deadline = time.monotonic() + LOCK_PATIENCE_S
        while True:
            try:
                self.writing.execute("BEGIN IMMEDIATE")
                return
            except apsw.BusyError:
                if time.monotonic() > deadline:
                    raise
            gevent.sleep(LOCK_PAUSE_S)

    def check_in_place(self) -> None:
        """Check that the files are those that were opened: writes to a deleted file end with the process.

        Raises:
            Unavailable: one was deleted or replaced.
        """
        for path, opened in self._identities.items():
            if identity_of(path) != opened:
                log.error("%s was deleted or replaced while in use: nothing more is written; restart to use what is "
                          "there now", path)  # fmt: skip
                raise Unavailable("The database file was deleted or replaced while in use.")

    def log_is_long(self) -> bool:
        """Return whether the write-ahead log is longer than it has to be."""
        return size_of(self.log_path) > LOG_LIMIT

    def empty_log(self) -> bool:
        """Checkpoint: move what the write-ahead log holds to the database, and empty it. Tell whether it worked."""
        try:
            busy, _, _ = self.writing.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0]
        except apsw.Error:
            return False
        return not busy

    def reopen(self) -> None:
        """Open both connections anew after an I/O error, since their caches cannot be trusted.

        The log is suspect, too: after a failed sync the kernel may hold pages that never reached the disk. So all
        that the log holds is moved to the database first. Otherwise a power cut could lose it, and what follows it.

        Raises:
            apsw.Error: it does not work now, although reads may work.
        """
        self._identities = {path: opened for path, opened in self._identities.items() if path == str(self.path)}
        self.check_in_place()  # the log is deleted with its last connection, the database must not be
        self._close_connections()
        self.open()
        if not self.empty_log():
            raise apsw.BusyError("the log cannot be moved into the database")

    def close(self) -> None:
        """Checkpoint, close, and release the lock."""
        try:
            self.empty_log()
            self._close_connections()
        finally:
            os.close(self._lock)

    def _close_connections(self) -> None:
        for connection in (self.reading, self.writing):
            connection.close(force=True)


def size_of(path: Path) -> int:
    """Return the size of a file in bytes; 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def identity_of(path: str) -> Identity | None:
    """Return the device and inode that a path leads to now; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def rollback(db: apsw.Connection) -> None:
    """Roll back the transaction, unless the error that broke it has done so."""
    if db.in_transaction:
        db.execute("ROLLBACK")
