"""The database file: who may open it, and how it gets its schema."""

import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from service_common import store
from service_common.store import Store, Unstartable, check_sqlite, steps

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
