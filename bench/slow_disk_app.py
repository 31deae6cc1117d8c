"""This project's services on a slow disk: every sync takes at least SYNC_MS (environment) milliseconds.

The slow disk is an SQLite VFS that forwards all calls. It becomes the default before the service opens its database, and
the service does not know of it.
"""

import os
import time
from importlib import import_module
from typing import Any

import apsw
from gevent.monkey import get_original

_sleep = get_original("time", "sleep")  # gevent's would create an event loop on the committing thread
_registered: list[apsw.VFS] = []  # SQLite keeps no reference of its own


class SlowDisk(apsw.VFS):
    """An SQLite VFS with slow syncs. It becomes the default of this process if `default`."""

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
    """Return the application of `service` on the slow disk."""
    _registered.append(SlowDisk(float(os.environ["SYNC_MS"])))
    return import_module(f"{service}_service.app").create_app()
