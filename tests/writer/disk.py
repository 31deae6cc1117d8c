"""A disk that can be broken: an SQLite VFS that passes everything on, until it is told to fail or to wait."""

from collections.abc import Callable
from typing import Any

import apsw


class Disk(apsw.VFS):
    """Give `name` to the store as its VFS. Each fault holds until it is set back."""

    def __init__(self, name: str) -> None:
        super().__init__(name, base="")
        self.name = name
        self.full = False  # writes to the log fail: no space
        self.fsync_fails = False  # syncs of the log fail
        self.truncate_fails = False  # so that the log cannot be emptied
        self.open_fails = False
        self.on_sync: Callable[[], None] = lambda: None
        self.syncs = 0

    def xOpen(self, name: Any, flags: list[int]) -> "File":
        if self.open_fails:
            raise apsw.CantOpenError("broken on purpose")
        return File(self, name, flags)


class File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self.disk = disk
        self.is_log = str(path).endswith("-wal")
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        if self.is_log and self.disk.full:
            raise apsw.FullError("full on purpose")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        if self.is_log:
            self.disk.syncs += 1
            self.disk.on_sync()
            if self.disk.fsync_fails:
                error = apsw.IOError("broken on purpose")
                error.extendedresult = apsw.SQLITE_IOERR_FSYNC
                raise error
        super().xSync(flags)

    def xTruncate(self, size: int) -> None:
        if self.is_log and self.disk.truncate_fails:
            raise apsw.IOError("broken on purpose")
        super().xTruncate(size)
