"""The database file: who may open it, how it gets its schema, how its log becomes short again."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import gevent
import pytest

from service_common.storage import group_commit
from service_common.storage.errors import CannotStart
from service_common.storage.migrations import steps
from service_common.storage.sqlite import file
from service_common.storage.sqlite.file import DatabaseFile, check_sqlite

from .bench import Bench
from .disk import Disk

ONE = "-- version 1\nCREATE TABLE t (x INTEGER) STRICT;\n"
TWO = ONE + "-- version 2: a second column\nALTER TABLE t ADD COLUMN y INTEGER NOT NULL DEFAULT 7;\n"


def rows_of(file: DatabaseFile, sql: str) -> list[Any]:
    """Return the rows that the reading connection finds."""
    return file.reading.execute(sql).fetchall()


def test_migrates_an_older_database_and_keeps_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    old = DatabaseFile(path, ONE)
    old.writing.execute("INSERT INTO t VALUES (1)")
    old.close()
    new = DatabaseFile(path, TWO)
    assert rows_of(new, "SELECT x, y FROM t") == [(1, 7)]
    assert new.writing.pragma("user_version") == 2
    new.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    DatabaseFile(path, ONE).close()
    broken = TWO + "CREATE TABLE t (again INTEGER);"
    with pytest.raises(CannotStart, match="cannot be opened"):
        DatabaseFile(path, broken)
    with apsw.Connection(str(path)) as db:
        assert db.pragma("user_version") == 1
        assert [column for _, column, *_ in db.execute("PRAGMA table_info(t)")] == ["x"]


def test_refuses_a_newer_database(tmp_path: Path) -> None:
    DatabaseFile(tmp_path / "t.db", TWO).close()
    with pytest.raises(CannotStart, match="schema version 2, this program knows 1"):
        DatabaseFile(tmp_path / "t.db", ONE)


def test_refuses_a_file_that_is_not_a_database(tmp_path: Path) -> None:
    (tmp_path / "t.db").write_text("these are not the bytes of a database, but rather more than a header's worth" * 9)
    with pytest.raises(CannotStart, match="Is it an SQLite database"):
        DatabaseFile(tmp_path / "t.db", ONE)


def files(directory: Path) -> dict[str, bytes]:
    """Return the files of a directory without locks and the index of the log, which hold no data."""
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.suffix not in (".lock", ".db-shm")}


def filled(directory: Path) -> dict[str, bytes]:
    """Make a database with some rows, and return its files."""
    made = DatabaseFile(directory / "t.db", ONE)
    with made.writing:
        made.writing.executemany("INSERT INTO t VALUES (?)", ((x,) for x in range(5000)))
    made.close()
    return files(directory)


@pytest.mark.parametrize("page", [0, 1])
def test_refuses_a_damaged_file_and_leaves_it_unchanged(tmp_path: Path, page: int) -> None:
    content = bytearray(filled(tmp_path)["t.db"])
    at = page * 4096 if page else 100  # the header may stay: then only what it leads to is damaged
    content[at : at + 2000] = b"\xff" * 2000
    if page:
        content[100:108] = b"\x0d" + b"\xff" * 7
    (tmp_path / "t.db").write_bytes(content)
    before = files(tmp_path)
    with pytest.raises(CannotStart, match=r"restore it from a backup, or set another DATA_DIR. Nothing was changed"):
        DatabaseFile(tmp_path / "t.db", ONE)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("fault", "advice"),
    [("full", "The disk is full: make room"), ("writes_fail", "full or broken: make room or repair")],
)
def test_does_not_start_on_a_disk_that_cannot_be_written_and_says_why(tmp_path: Path, fault: str, advice: str) -> None:
    before = filled(tmp_path)
    disk = Disk(f"{fault}-at-start")
    setattr(disk, fault, True)
    with pytest.raises(CannotStart, match=advice):
        DatabaseFile(tmp_path / "t.db", ONE, vfs=disk.name)
    disk.repair()
    again = DatabaseFile(tmp_path / "t.db", ONE, vfs=disk.name)
    assert rows_of(again, "SELECT count(*) FROM t") == [(5000,)]
    again.close()
    assert files(tmp_path).keys() == before.keys()


def test_refuses_a_directory_that_cannot_be_written() -> None:
    with pytest.raises(CannotStart, match=r"cannot be used for data .*: make it writable or set DATA_DIR"):
        DatabaseFile(Path("/proc/threefold/t.db"), ONE)


def test_says_that_another_program_has_locked_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "BUSY_TIMEOUT_MS", 20)
    filled(tmp_path)
    with closing(apsw.Connection(str(tmp_path / "t.db"))) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CannotStart, match="end that program's transaction"):
            DatabaseFile(tmp_path / "t.db", ONE)
        other.execute("ROLLBACK")


@pytest.mark.parametrize("emptied", [False, True])
def test_does_not_delete_a_log_whose_database_is_missing(tmp_path: Path, emptied: bool) -> None:
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    running = DatabaseFile(tmp_path / "t.db", ONE)
    running.writing.execute("INSERT INTO t VALUES (1)")
    shutil.copy(tmp_path / "t.db-wal", crashed)
    if emptied:
        (crashed / "t.db").touch()
    before = files(crashed)
    with pytest.raises(CannotStart, match=r"t.db-wal holds writes of it: put the database back"):
        DatabaseFile(crashed / "t.db", ONE)
    assert files(crashed) == before
    shutil.copy(tmp_path / "t.db", crashed)
    restored = DatabaseFile(crashed / "t.db", ONE)
    assert rows_of(restored, "SELECT x FROM t") == [(1,)]
    restored.close()
    running.close()


@pytest.mark.parametrize("schema", ["CREATE TABLE t (x);", "-- version 2\n", "-- version 1\n-- version 3\n"])
def test_rejects_a_schema_whose_steps_do_not_count_from_one(schema: str) -> None:
    with pytest.raises(ValueError, match="counts on by one"):
        steps(schema)


def test_refuses_a_second_process_until_the_first_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "PREDECESSOR_WAIT_S", 0.1)
    code = (
        "import sys, pathlib; from service_common.storage.sqlite.file import DatabaseFile;"
        f"s = DatabaseFile(pathlib.Path({str(tmp_path / 't.db')!r}), {ONE!r}); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(CannotStart, match="in use by another process"):
            DatabaseFile(tmp_path / "t.db", ONE)
        other.kill()
    DatabaseFile(tmp_path / "t.db", ONE).close()


@pytest.mark.parametrize("version", ["3.7.0", "3.40.1", "3.51.2"])
def test_refuses_an_sqlite_that_may_corrupt_a_database(version: str) -> None:
    with pytest.raises(CannotStart, match=version):
        check_sqlite(version)


def test_accepts_the_installed_sqlite_and_newer_ones() -> None:
    check_sqlite()
    check_sqlite("3.51.3")
    check_sqlite("4.0.0")


LIMIT = 256 << 10  # bytes
ROW = 100_000  # bytes, of each of the rows that make the log long


@pytest.fixture
def bench_with_a_long_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Bench, apsw.Connection]]:
    """A bench whose log is longer than a checkpoint waits for (4 MiB), and the reader that has kept it from shrinking.

    The limit has to be set before the database is opened.
    """
    monkeypatch.setattr(file, "LOG_LIMIT", LIMIT)
    bench = Bench(tmp_path)
    assert bench.outcome(0) == 1
    with closing(apsw.Connection(str(bench.path), flags=apsw.SQLITE_OPEN_READONLY)) as reader:
        reader.execute("BEGIN; SELECT x FROM t").fetchall()
        assert {type(bench.outcome_of(bench.insert_large(x, ROW))) for x in range(1, 61)} == {int}
        assert bench.log.stat().st_size > 5 << 20
        yield bench, reader
    bench.database.close(5)
    assert bench.rows()[:61] == list(range(61))


def test_writes_shorten_the_log_after_a_long_reader_has_gone(
    bench_with_a_long_log: tuple[Bench, apsw.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, reader = bench_with_a_long_log
    monkeypatch.setattr(bench.database, "_idle", lambda: None)  # here the writes have to do it
    assert {type(bench.outcome(x)) for x in range(100, 110)} == {int}
    assert bench.log.stat().st_size > 5 << 20  # the reader is still there
    assert reader.execute("SELECT x FROM t").fetchall() == [(0,)]
    reader.execute("COMMIT")
    assert {type(bench.outcome(x)) for x in range(110, 120)} == {int}
    assert bench.log.stat().st_size <= LIMIT
    assert bench.crashed()[-1] == bench.cut_off()[-1] == 119


def test_an_idle_database_shortens_the_log_after_a_long_reader_has_gone(
    bench_with_a_long_log: tuple[Bench, apsw.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, reader = bench_with_a_long_log
    monkeypatch.setattr(group_commit, "IDLE_EVERY_S", 0.02)
    assert isinstance(bench.outcome(100), int)
    committed = bench.groups()
    gevent.sleep(0.2)
    assert bench.log.stat().st_size > 5 << 20  # the reader is still there
    assert reader.execute("SELECT x FROM t").fetchall() == [(0,)]
    reader.execute("COMMIT")
    with gevent.Timeout(10):
        while bench.log.stat().st_size > LIMIT:
            gevent.sleep(0.01)
    assert bench.groups() == committed
    assert bench.crashed()[-1] == bench.cut_off()[-1] == 100
    assert isinstance(bench.outcome(101), int)


def test_a_reader_that_stays_costs_an_idle_database_no_write(
    bench_with_a_long_log: tuple[Bench, apsw.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, reader = bench_with_a_long_log
    monkeypatch.setattr(group_commit, "IDLE_EVERY_S", 0.001)
    for x in range(100, 130):
        assert isinstance(bench.outcome(x), int)
        gevent.sleep(0.01)
    assert bench.database.alive()
    assert reader.execute("SELECT x FROM t").fetchall() == [(0,)]
