"""The users service in a process that crashes at a chosen point: SIGKILL to gunicorn and its worker, from inside.

The service does not know of it: this module watches every connection that apsw opens, and the files for checkpoints. The
process crashes once, at the point DIE_AT, when the file ARMED exists. The file is then renamed to the point.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

import service_common.storage.sqlite.database
from lessons.patches import variant
from service_common.http.application import Application
from users_service.app import create_app as create_sound

POINTS = ("before BEGIN", "in the middle of a group", "before COMMIT", "after COMMIT", "during a checkpoint")
ARMED = Path(os.environ.get("ARMED", "armed"))


def die(point: str) -> None:
    """Crash here, if this is the point and it is armed."""
    if point == os.environ.get("DIE_AT") and ARMED.exists():
        ARMED.rename(ARMED.with_name(point))
        os.killpg(os.getpgid(0), signal.SIGKILL)


def watch(db: apsw.Connection) -> None:
    """Crash where a statement of this connection begins or has ended."""
    jobs = 0

    def begins(_cursor: apsw.Cursor, sql: str, _values: Any) -> bool:
        nonlocal jobs
        if sql.startswith("BEGIN"):
            jobs = 0
            die("before BEGIN")
        elif "INSERT INTO users" in sql:
            jobs += 1
            if jobs > 1:  # one job has run, others wait
                die("in the middle of a group")
        elif sql == "COMMIT":
            die("before COMMIT")
        return True

    def ended(event: dict[str, Any]) -> None:
        if event["sql"] == "COMMIT":
            die("after COMMIT")

    db.exec_trace = begins
    db.trace_v2(apsw.SQLITE_TRACE_PROFILE, ended)


class Files(apsw.VFS):
    """The usual files; the process may crash when a page is written into the database itself."""

    def __init__(self) -> None:
        super().__init__("deadly", base="unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> "File":
        return File(name, flags)


class File(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int]) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._checkpoint: Callable[[], None] | None = None
        if str(path).endswith(".db"):  # in WAL mode only a checkpoint writes to it
            self._pages = 0
            self._checkpoint = self._write_page
        super().__init__("unix", name, flags)

    def _write_page(self) -> None:
        self._pages += 1
        if self._pages % 5 == 0:  # after some pages, before others
            die("during a checkpoint")

    def xWrite(self, data: bytes, offset: int) -> None:
        if self._checkpoint:
            self._checkpoint()
        super().xWrite(data, offset)


def create_app() -> Application:
    if os.environ.get("DIE_AT") == "during a checkpoint":
        create_app.files = Files()  # type: ignore[attr-defined]  # keep it as long as the process
    apsw.connection_hooks.append(watch)
    return create_sound()


def create_hasty_app() -> Application:
    """Return the same service with a writer that acknowledges before it commits: the tests must find it."""
    hasty = variant("service_common.storage.sqlite.database", "answer-before-commit")
    service_common.storage.sqlite.database.SqliteDatabase = hasty.SqliteDatabase  # type: ignore[misc]
    return create_app()
