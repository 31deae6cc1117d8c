"""The process crashes at each point of a write. Acknowledged writes are there, and no write is there twice."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from service_common.storage.sqlite.file import DatabaseFile
from testbed import Process, wait_until

from .clients import Load
from .deadly import POINTS

OLD = "-- version 1\nCREATE TABLE t (n INTEGER);\n"
NEW = OLD + "-- version 2\nALTER TABLE t ADD COLUMN z INTEGER;\nUPDATE t SET z = n;\n"
DYING_MIGRATION = """
import apsw, os, pathlib, signal, sys
from service_common.storage.sqlite.file import DatabaseFile

def begins(_cursor, sql, _values):
    if sql.strip().startswith("UPDATE"):  # the first half of the step is done
        os.kill(os.getpid(), signal.SIGKILL)
    return True

apsw.connection_hooks.append(lambda db: setattr(db, "exec_trace", begins))
DatabaseFile(pathlib.Path(sys.argv[1]), sys.argv[2])
"""


@contextmanager
def dead_and_back(directory: Path, point: str, app: str = "create_app()") -> Iterator[Load]:
    """Run a load on users, which crashes at `point` and restarts. Writes without an answer are sent again."""
    armed = directory / "armed"
    env = {"DIE_AT": point, "ARMED": str(armed), "ACCESS_LOG": "0"}
    process = Process("users", f"tests.system.deadly:{app}", directory, env).start()
    try:
        load = Load(process)
        try:
            load.await_more(100)
            armed.touch()
            wait_until(lambda: process.process and process.process.poll() is not None, what="the death")
            assert armed.with_name(point).exists()
            process.start()
            load.await_more(100)
        finally:
            load.end()
        assert load.settle() > 0  # sent again, each with its own key
        yield load
    finally:
        process.stop()


@pytest.mark.parametrize("point", POINTS, ids=[point.replace(" ", "-") for point in POINTS])
def test_a_crash_at_any_point_loses_and_duplicates_nothing(tmp_path: Path, point: str) -> None:
    with dead_and_back(tmp_path, point) as load:
        load.check()
        with apsw.Connection(str(load.process.database)) as db:
            assert db.pragma("integrity_check") == "ok"
            assert db.execute("SELECT count(*) FROM idempotency_keys").fetchone() == (len(load.acknowledged()),)


def test_a_write_acknowledged_before_its_commit_is_found_missing(tmp_path: Path) -> None:
    with dead_and_back(tmp_path, "before COMMIT", "create_hasty_app()") as load, pytest.raises(AssertionError):
        load.check()


def test_a_migration_that_crashes_is_rolled_back_and_made_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    file = DatabaseFile(path, OLD)
    file.writing.execute("INSERT INTO t (n) VALUES (1), (2)")
    file.close()
    died = subprocess.run([sys.executable, "-c", DYING_MIGRATION, str(path), NEW], check=False, timeout=30)
    assert died.returncode == -signal.SIGKILL
    with apsw.Connection(str(path)) as db:
        assert db.pragma("user_version") == 1
        assert db.execute("SELECT n FROM t").fetchall() == [(1,), (2,)]
    file = DatabaseFile(path, NEW)
    assert file.reading.execute("SELECT n, z FROM t").fetchall() == [(1, 1), (2, 2)]
    assert file.writing.pragma("integrity_check") == "ok"
    file.close()
