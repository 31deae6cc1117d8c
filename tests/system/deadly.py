"""The users service in a process that dies at a chosen point: SIGKILL to gunicorn and its worker, from inside.

Nothing in the product knows of it: every connection that apsw opens is watched, and for checkpoints the files are. It dies
once, at the point that DIE_AT names, when the file ARMED is there; that file then bears the name of the point.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

import service_common.app
from service_common.app import Service
from tests.chaos.hasty import Hasty
from users_service.app import create_app as create_sound

POINTS = ("before BEGIN", "in the middle of a group", "before COMMIT", "after COMMIT", "during a checkpoint")
ARMED = Path(os.environ.get("ARMED", "armed"))


def die(point: str) -> None:
    """Die here, if this is the point and it is armed."""
    if point == os.environ.get("DIE_AT") and ARMED.exists():
        ARMED.rename(ARMED.with_name(point))
        os.killpg(os.getpgid(0), signal.SIGKILL)


def watch(db: apsw.Connection) -> None:
    """Die where a statement of this connection begins or has ended."""
    jobs = 0

    def begins(_cursor: apsw.Cursor, sql: str, _values: Any) -> bool:
        nonlocal jobs
        if sql.startswith("BEGIN"):
            jobs = 0
            die("before BEGIN")
        elif sql.startswith("INSERT INTO users"):
            jobs += 1
            if jobs > 1:  # one has run, others wait
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
    """The files as they are, but that the process may die when a page is written into the database itself."""

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
        if self._pages % 5 == 0:  # some pages are there, some are not
            die("during a checkpoint")

    def xWrite(self, data: bytes, offset: int) -> None:
        if self._checkpoint:
            self._checkpoint()
        super().xWrite(data, offset)


def create_app() -> Service:
    if os.environ.get("DIE_AT") == "during a checkpoint":
        create_app.files = Files()  # type: ignore[attr-defined]  # it lives as long as the process
    apsw.connection_hooks.append(watch)
    return create_sound()


def create_hasty_app() -> Service:
    """The same with a writer that acknowledges before it commits: what the test of the others must find."""
    service_common.app.Writer = Hasty  # type: ignore[misc]
    return create_app()
