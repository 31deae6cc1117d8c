"""The start on a database: its schema, its owner, and what is refused."""

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from prometheus_client import CollectorRegistry

from service_common.settings import Settings
from service_common.storage.database import WriteLimits
from service_common.storage.engine import engine_of, open_database
from service_common.storage.errors import CannotStart
from service_common.storage.migrations import steps
from service_common.storage.postgres import database as engine
from service_common.storage.postgres.database import PostgresDatabase
from testbed import Process, free_port
from testbed.kernel import tree
from testbed.postgres import PostgresServer
from testbed.services import ROOT

from .conftest import SCHEMA, SQL
from .writes import insert, keyed

NEWER = (
    f"{SQL}\n-- version {len(steps(SQL)) + 1}: a note\nALTER TABLE users ADD COLUMN note text NOT NULL DEFAULT '';\n"
)
BROKEN = f"{NEWER}\n-- version {len(steps(SQL)) + 2}: wrong\nALTER TABLE nothing ADD COLUMN x text;\n"


def start(url: str, sql: str = SQL, name: str = "users") -> PostgresDatabase:
    return PostgresDatabase(url, replace(SCHEMA, sql=sql, name=name), WriteLimits(), CollectorRegistry())


def test_a_new_step_is_made_once_and_keeps_what_is_there(url: str, server: PostgresServer) -> None:
    first = start(url)
    first.write(keyed("k", "a"))
    first.close(1)
    for _ in range(2):
        newer = start(url, NEWER)
        assert newer.read("SELECT name, note FROM users") == [("a", "")]
        assert newer.kept("k") is not None
        newer.close(1)
    assert server.run_sql("SELECT version FROM schema_version", url.rpartition("/")[2]) == str(len(steps(NEWER)))


def test_replicas_that_start_at_once_migrate_once(url: str) -> None:
    program = (
        "import sys; from tests.storage.postgres.test_start import start, NEWER; start(sys.argv[1], NEWER).close(1)"
    )

    def run(_: int) -> str:
        done = subprocess.run([sys.executable, "-c", program, url], cwd=ROOT, capture_output=True, text=True)
        return done.stderr if done.returncode else ""

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(4))) == [""] * 4


def test_a_step_that_fails_changes_nothing(url: str, server: PostgresServer) -> None:
    start(url).close(1)
    with pytest.raises(CannotStart, match=r"nothing.*Nothing was changed"):
        start(url, BROKEN)
    columns = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'users' AND column_name = 'note'"
    assert server.run_sql(columns, url.rpartition("/")[2]) == "0"
    start(url).close(1)


def test_a_newer_database_is_refused(url: str) -> None:
    start(url, NEWER).close(1)
    with pytest.raises(CannotStart, match="Start a newer program"):
        start(url)


def test_the_database_of_another_service_is_refused(url: str) -> None:
    start(url).close(1)
    with pytest.raises(CannotStart, match="that of users: each service needs a database of its own"):
        start(url, name="orders")


def test_a_role_that_may_only_read_and_write_rows_serves_a_database_that_is_up_to_date(
    url: str, server: PostgresServer
) -> None:
    name = url.rpartition("/")[2]
    server.run_sql("DROP ROLE IF EXISTS clerk; CREATE ROLE clerk LOGIN")
    clerk = url.replace("threefold@", "clerk@")
    with pytest.raises(CannotStart, match="permission denied"):
        start(clerk)
    start(url).close(1)
    server.run_sql("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO clerk", name)
    database = start(clerk)
    assert database.write(insert("a"))[0][1] == "a"
    database.close(1)


def test_a_server_that_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "START_PATIENCE_S", 0.0)
    with pytest.raises(CannotStart, match=r"cannot be reached: .*Start the server or correct the URL"):
        start(f"postgresql://u@127.0.0.1:{free_port()}/users")


def test_a_message_never_shows_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "START_PATIENCE_S", 0.0)
    with pytest.raises(CannotStart) as refused:
        start(f"postgresql://u:secret@127.0.0.1:{free_port()}/users")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "name"), [("", "sqlite"), ("postgresql://u@h/d", "postgres"), ("postgres://h/d", "postgres")]
)
def test_the_url_chooses_the_engine(url: str, name: str) -> None:
    assert engine_of(url) == name


@pytest.mark.parametrize("url", ["mysql://h/d", "users.db", "postgresql:/h"])
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(CannotStart, match="DATABASE_URL must begin with postgresql://"):
        engine_of(url)


def test_the_url_can_be_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://u@h/d\n")
    assert Settings(database_url_file=file).database() == "postgresql://u@h/d"
    file.write_text("\n")
    with pytest.raises(SystemExit, match="is empty: write a postgresql:// URL to it"):
        Settings(database_url_file=file).database()
    with pytest.raises(SystemExit, match="DATABASE_URL_FILE cannot be read"):
        Settings(database_url_file=tmp_path / "none").database()


def test_the_settings_do_not_show_the_url() -> None:
    assert "secret" not in repr(Settings(database_url="postgresql://u:secret@h/d"))


def test_without_the_driver_a_start_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "service_common.storage.postgres.database", None)
    with pytest.raises(CannotStart, match=r"pip install --require-hashes -r requirements/postgres\.txt"):
        open_database("postgresql://u@h/d", tmp_path, SCHEMA, WriteLimits(), CollectorRegistry())


def test_the_drivers_are_imported_only_where_they_are_used(tmp_path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        from prometheus_client import CollectorRegistry
        import service_common.factory
        from service_common.storage.database import Schema, WriteLimits
        from service_common.storage.engine import open_database

        def loaded(url):
            try:
                open_database(url, Path(sys.argv[1]), Schema("t", "", ()), WriteLimits(), CollectorRegistry()).close(1)
            except SystemExit:
                pass
            return sorted({"apsw", "psycopg"} & sys.modules.keys())

        print(loaded("mysql://"), loaded(""))
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[] ['apsw']\n", done.stderr


def test_worker_processes_share_a_database(url: str, tmp_path: Path) -> None:
    users = Process("users", "users_service.app:create_app()", tmp_path, {"DATABASE_URL": url, "WEB_CONCURRENCY": "3"})
    users.start()
    try:

        def create(number: int) -> int:
            body = {"name": "Ada", "email": f"{number}@example.org"}
            return requests.post(f"{users.url}/users", json=body, timeout=10).status_code

        with ThreadPoolExecutor(16) as pool:
            assert set(pool.map(create, range(200))) == {201}
        assert len(requests.get(f"{users.url}/users?limit=1000", timeout=10).json()["items"]) == 200
        assert len(tree(users.pid)) == 1 + 3
    finally:
        users.stop()


def test_psycopg_is_refused_where_it_was_imported_before_gevents_patch(url: str) -> None:
    code = """
        import sys
        import psycopg
        import gevent.monkey
        gevent.monkey.patch_all()
        from tests.storage.postgres.test_start import start
        start(sys.argv[1])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), url], cwd=ROOT, capture_output=True, text=True)
    assert "imported before gevent's patch" in done.stderr
