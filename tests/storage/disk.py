"""A disk that can be broken: an SQLite VFS that passes everything on until it is told to fail or to wait.

It also remembers what is certain to be on the platter, so that a power cut can be simulated: then each file has the
content of its last sync. A truncated or deleted file that was not synced is as before.

A sync that failed may have brought everything to the platter, or nothing. Here it has brought everything, which is the
worst case for a write that was refused. With `forgets` it has brought nothing, and the kernel takes the lost pages for
written, as ext4 and XFS do: they can be read, but no later sync writes them unless they are written again.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

PAGE = 4096  # bytes, of the kernel


def io_error(code: int) -> apsw.IOError:
    error = apsw.IOError("broken on purpose")
    error.extendedresult = code
    return error


class Disk(apsw.VFS):
    """Give `name` to the database as its VFS. Each fault stays until it is reset."""

    def __init__(self, name: str) -> None:
        super().__init__(name, base="")
        self.name = name
        self.full = False  # writes to the log fail: no space
        self.writes_fail = False  # writes to the log fail: I/O error
        self.fsync_fails = False  # syncs of the log fail
        self.truncate_fails = False  # so that the log cannot be emptied
        # Writes to the database file fail. Use it only with an explicit checkpoint: SQLite ignores the failure of one
        # that COMMIT starts by itself, but apsw raises what was raised in here.
        self.checkpoint_fails = False
        self.open_fails = False
        self.forgets = False  # a sync that fails brings nothing to the platter
        self.dirty: dict[str, set[int]] = {}  # pages written since the last sync, by suffix
        self.stale: dict[str, set[int]] = {}  # pages the kernel takes for written, by suffix
        self.on_sync: Callable[[], None] = lambda: None
        self.syncs = 0
        self.platter: dict[str, bytes] = {}  # by suffix

    def xOpen(self, name: Any, flags: list[int]) -> "File":
        if self.open_fails:
            raise apsw.CantOpenError("broken on purpose")
        return File(self, name, flags)

    def repair(self) -> None:
        """End every fault."""
        self.full = self.writes_fail = self.fsync_fails = False
        self.truncate_fails = self.checkpoint_fails = self.open_fails = self.forgets = False

    def sync(self, path: Path) -> None:
        """Bring to the platter what the kernel knows is missing there."""
        content, before = bytearray(path.read_bytes()), self.platter.get(path.suffix, b"")
        for page in self.stale.get(path.suffix, ()):
            place = slice(page * PAGE, (page + 1) * PAGE)
            content[place] = before[place].ljust(len(content[place]), b"\0")
        self.platter[path.suffix] = bytes(content)
        self.dirty[path.suffix] = set()

    def cut_power(self, directory: Path) -> Path:
        """Put what a power cut would leave now into `directory`, and return the path of the database there."""
        directory.mkdir()
        for suffix, content in self.platter.items():
            (directory / f"t{suffix}").write_bytes(content)
        return directory / "t.db"


class File(apsw.VFSFile):
    """A file on the disk."""

    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self.disk = disk
        self.path = Path(str(path))
        self.is_log = self.path.name.endswith("-wal")
        if not self.path.exists():
            disk.dirty[self.path.suffix], disk.stale[self.path.suffix] = set(), set()
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        if self.is_log and self.disk.full:
            raise apsw.FullError("full on purpose")
        if self.disk.writes_fail if self.is_log else self.disk.checkpoint_fails:
            raise io_error(apsw.SQLITE_IOERR_WRITE)
        super().xWrite(data, offset)
        pages = set(range(offset // PAGE, (offset + len(data) - 1) // PAGE + 1))
        self.disk.dirty.setdefault(self.path.suffix, set()).update(pages)
        self.disk.stale.setdefault(self.path.suffix, set()).difference_update(pages)

    def xSync(self, flags: int) -> None:
        if self.is_log:
            self.disk.syncs += 1
            self.disk.on_sync()
        super().xSync(flags)
        fails = self.is_log and self.disk.fsync_fails
        if fails and self.disk.forgets:
            self.disk.stale.setdefault(self.path.suffix, set()).update(self.disk.dirty.pop(self.path.suffix, ()))
        elif self.path.suffix in (".db", ".db-wal") and self.path.exists():
            self.disk.sync(self.path)
        if fails:
            raise io_error(apsw.SQLITE_IOERR_FSYNC)

    def xTruncate(self, size: int) -> None:
        if self.is_log and self.disk.truncate_fails:
            raise io_error(apsw.SQLITE_IOERR_TRUNCATE)
        super().xTruncate(size)
