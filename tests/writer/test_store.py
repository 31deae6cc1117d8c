"""The database file: who may open it, and how it gets its schema."""

import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from service_common import store
from service_common.store import Store, Unstartable, check_sqlite, steps

from .disk import Disk

ONE = "-- version 1\nCREATE TABLE t (x INTEGER) STRICT;\n"
TWO = ONE + "-- version 2: a second column\nALTER TABLE t ADD COLUMN y INTEGER NOT NULL DEFAULT 7;\n"


def test_an_older_database_is_migrated_and_keeps_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    old = Store(path, ONE)
    old.writing.execute("INSERT INTO t VALUES (1)")
    old.close()
    new = Store(path, TWO)
    assert new.read("SELECT x, y FROM t") == [(1, 7)]
    assert new.writing.pragma("user_version") == 2
    new.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    Store(path, ONE).close()
    broken = TWO + "CREATE TABLE t (again INTEGER);"
    with pytest.raises(Unstartable, match="cannot be opened"):
        Store(path, broken)
    with apsw.Connection(str(path)) as db:
        assert db.pragma("user_version") == 1
        assert [column for _, column, *_ in db.execute("PRAGMA table_info(t)")] == ["x"]


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    Store(tmp_path / "t.db", TWO).close()
    with pytest.raises(Unstartable, match="schema version 2, this program knows 1"):
        Store(tmp_path / "t.db", ONE)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.db").write_text("these are not the bytes of a database, but rather more than a header's worth" * 9)
    with pytest.raises(Unstartable, match="Is it an SQLite database"):
        Store(tmp_path / "t.db", ONE)


def files(directory: Path) -> dict[str, bytes]:
    """All that lies in a directory, but for locks and the index of a log, which hold no data."""
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.suffix not in (".lock", ".db-shm")}


def kept(directory: Path) -> dict[str, bytes]:
    """Make a database with some rows, and give what it consists of."""
    made = Store(directory / "t.db", ONE)
    with made.writing:
        made.writing.executemany("INSERT INTO t VALUES (?)", ((x,) for x in range(5000)))
    made.close()
    return files(directory)


@pytest.mark.parametrize("page", [0, 1])
def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path, page: int) -> None:
    content = bytearray(kept(tmp_path)["t.db"])
    at = page * 4096 if page else 100  # the header may stay: then only what it leads to is damaged
    content[at : at + 2000] = b"\xff" * 2000
    if page:
        content[100:108] = b"\x0d" + b"\xff" * 7
    (tmp_path / "t.db").write_bytes(content)
    before = files(tmp_path)
    with pytest.raises(Unstartable, match=r"restore it from a backup, or set another DATA_DIR. Nothing was changed"):
        Store(tmp_path / "t.db", ONE)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("fault", "advice"), [("full", "The disk is full: make room"), ("writes_fail", "full or broken: make room or mend")]
)
def test_on_a_disk_that_takes_nothing_a_service_does_not_start_and_says_so(
    tmp_path: Path, fault: str, advice: str
) -> None:
    before = kept(tmp_path)
    disk = Disk(f"{fault}-at-start")
    setattr(disk, fault, True)
    with pytest.raises(Unstartable, match=advice):
        Store(tmp_path / "t.db", ONE, vfs=disk.name)
    disk.well()
    again = Store(tmp_path / "t.db", ONE, vfs=disk.name)
    assert again.read("SELECT count(*) FROM t") == [(5000,)]
    again.close()
    assert files(tmp_path).keys() == before.keys()


def test_a_directory_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(Unstartable, match=r"cannot be used for data .*: make it writable or set DATA_DIR"):
        Store(Path("/proc/threefold/t.db"), ONE)


def test_a_database_that_another_program_has_locked_is_not_mistaken_for_a_wrong_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BUSY_TIMEOUT_MS", 20)
    kept(tmp_path)
    with closing(apsw.Connection(str(tmp_path / "t.db"))) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unstartable, match="end that program's transaction"):
            Store(tmp_path / "t.db", ONE)
        other.execute("ROLLBACK")


@pytest.mark.parametrize("emptied", [False, True])
def test_a_log_whose_database_is_gone_is_not_thrown_away(tmp_path: Path, emptied: bool) -> None:
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    running = Store(tmp_path / "t.db", ONE)
    running.writing.execute("INSERT INTO t VALUES (1)")
    shutil.copy(tmp_path / "t.db-wal", crashed)
    if emptied:
        (crashed / "t.db").touch()
    before = files(crashed)
    with pytest.raises(Unstartable, match=r"t.db-wal holds writes of it: put the database back"):
        Store(crashed / "t.db", ONE)
    assert files(crashed) == before
    shutil.copy(tmp_path / "t.db", crashed)
    restored = Store(crashed / "t.db", ONE)
    assert restored.read("SELECT x FROM t") == [(1,)]
    restored.close()
    running.close()


@pytest.mark.parametrize("schema", ["CREATE TABLE t (x);", "-- version 2\n", "-- version 1\n-- version 3\n"])
def test_a_schema_counts_its_steps_from_one(schema: str) -> None:
    with pytest.raises(ValueError, match="counts on by one"):
        steps(schema)


def test_a_second_process_is_refused_and_let_in_after_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LOCK_WAIT_S", 0.1)
    code = (
        "import sys, pathlib; from service_common.store import Store;"
        f"s = Store(pathlib.Path({str(tmp_path / 't.db')!r}), {ONE!r}); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(Unstartable, match="in use by another process"):
            Store(tmp_path / "t.db", ONE)
        other.kill()
    Store(tmp_path / "t.db", ONE).close()


@pytest.mark.parametrize("version", ["3.7.0", "3.40.1", "3.51.2"])
def test_an_sqlite_that_may_corrupt_is_refused(version: str) -> None:
    with pytest.raises(Unstartable, match=version):
        check_sqlite(version)


def test_the_sqlite_that_comes_along_is_accepted() -> None:
    check_sqlite()
    check_sqlite("3.51.3")
    check_sqlite("4.0.0")
