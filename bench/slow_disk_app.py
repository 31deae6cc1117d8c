"""This project's services on a slow disk: every sync takes at least SYNC_MS milliseconds of the environment.

An SQLite VFS that passes everything on becomes the default before the service opens its database; the service knows
nothing of it.
"""

import os
import time
from importlib import import_module
from typing import Any

import apsw
from gevent.monkey import get_original

_sleep = get_original("time", "sleep")  # gevent's would make an event loop on the thread that commits
_registered: list[apsw.VFS] = []  # SQLite keeps no reference of its own


class SlowDisk(apsw.VFS):
    """An SQLite VFS called `name`, and from here on the default of this process unless told otherwise."""

    def __init__(self, sync_ms: float, default: bool = True) -> None:
        self.name = f"sync-takes-{sync_ms:g}-ms"
        self.beneath = apsw.vfs_names()[0]
        self.sync_s = sync_ms / 1000
        super().__init__(self.name, base="", makedefault=default)

    def xOpen(self, name: Any, flags: list[int]) -> "SlowFile":  # noqa: N802 - SQLite's name
        return SlowFile(self, name, flags)


class SlowFile(apsw.VFSFile):
    def __init__(self, disk: SlowDisk, name: Any, flags: list[int]) -> None:
        self.disk = disk
        super().__init__(disk.beneath, name, flags)

    def xSync(self, flags: int) -> None:  # noqa: N802
        began = time.monotonic()
        super().xSync(flags)
        if (left := began + self.disk.sync_s - time.monotonic()) > 0:
            _sleep(left)


def create_app(service: str) -> Any:
    """The application of `service`, on a disk as slow as SYNC_MS says."""
    _registered.append(SlowDisk(float(os.environ["SYNC_MS"])))
    return import_module(f"{service}_service.app").create_app()
