"""A disk that loses power with the process: what was written and not yet synced is gone after a SIGKILL.

SQLite reads and writes through a VFS. This one keeps each write in memory until the file is synced, as a disk and its
operating system do in their caches. As an operating system does, it writes all of it a while later by itself.
"""

import importlib
import time
from typing import Any

import apsw

from service_common.http.application import Application

WRITE_BACK_S = 1.0  # of an operating system some 30 s


class Disk(apsw.VFS):
    """The usual files, behind a cache for each."""

    def __init__(self) -> None:
        super().__init__("disk", base="unix", makedefault=True)
        self.caches: dict[str, Cache] = {}

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        if name is None:
            return apsw.VFSFile("unix", name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        file = File(name, flags)
        file.cache = self.caches.setdefault(path, Cache(file))
        return file

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self.caches.pop(filename, None)
        super().xDelete(filename, syncdir)


class Cache:
    """The content of a file as it is read now, and the writes that are not on the disk yet."""

    def __init__(self, file: "File") -> None:
        self.content = bytearray(file.on_disk())
        self.pending: list[tuple[int, bytes]] = []
        self.synced_at = time.monotonic()


class File(apsw.VFSFile):
    """A file whose writes reach the disk when it is synced."""

    cache: Cache

    def __init__(self, name: Any, flags: list[int]) -> None:
        super().__init__("unix", name, flags)

    def on_disk(self) -> bytes:
        return super().xRead(size, 0) if (size := super().xFileSize()) else b""

    def xRead(self, amount: int, offset: int) -> bytes:
        return bytes(self.cache.content[offset : offset + amount])

    def xFileSize(self) -> int:
        return len(self.cache.content)

    def xWrite(self, data: bytes, offset: int) -> None:
        content = self.cache.content
        content.extend(bytes(max(0, offset - len(content))))
        content[offset : offset + len(data)] = data
        self.cache.pending.append((offset, bytes(data)))
        if time.monotonic() > self.cache.synced_at + WRITE_BACK_S:
            self._write_back()

    def xTruncate(self, size: int) -> None:
        self._write_back()
        del self.cache.content[size:]
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:
        self._write_back()
        super().xSync(flags)

    def _write_back(self) -> None:
        for offset, data in self.cache.pending:
            super().xWrite(data, offset)
        self.cache.pending.clear()
        self.cache.synced_at = time.monotonic()


def create_app(service: str) -> Application:
    """Return a service whose database is on such a disk."""
    create_app.disk = Disk()  # type: ignore[attr-defined]  # keep it as long as the process
    app: Application = importlib.import_module(f"{service}_service.app").create_app()
    return app
