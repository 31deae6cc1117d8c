"""The move from SQLite to PostgreSQL: every row and key, or nothing."""

from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import apsw
import psycopg
import pytest
from prometheus_client import CollectorRegistry

from service_common.storage.database import Answer, Delete, Insert, Kept, Key, Row, Schema, Write, WriteLimits
from service_common.storage.errors import CannotStart
from service_common.storage.move import NotMoved, main, move
from service_common.storage.sqlite import file as sqlite_file
from service_common.storage.sqlite.database import SqliteDatabase
from testbed.postgres import PostgresServer
from users_service.app import TABLE

from .conftest import Open

COUNT = 300
HARD = ("日本 \u0301é", "tab\tand\\backslash", "'quoted' \"twice\"", "\\N", "😀")


ALL_USERS = "SELECT id, name, email, email_key, version, created_at FROM users ORDER BY id"


class Filled(NamedTuple):
    """What a file holds."""

    users: list[Row]
    kept: list[Kept | None]


def schema(service: str) -> str:
    return resources.files(f"{service}_service").joinpath("schema.sqlite.sql").read_text(encoding="utf-8")


def answer(rows: object) -> Answer:
    return Answer(201, repr(rows).encode() + b"\x00\xff", {"Location": "/users/1"})


@pytest.fixture
def filled(tmp_path: Path) -> Filled:
    """A closed file of users with keys, whose last row was deleted."""
    database = SqliteDatabase(
        tmp_path / "users.db", Schema("users", schema("users"), (TABLE,)), WriteLimits(), CollectorRegistry()
    )
    for number in range(COUNT):
        row = (HARD[number % len(HARD)], f"{number}@example.com", f"{number}@example.com")
        database.write(Write(Insert(TABLE, [row]), answer, Key(f"key-{number}", bytes(32))))
    database.write(Write(Delete(TABLE, COUNT)))
    try:
        return Filled(database.read(ALL_USERS), [database.kept(f"key-{number}") for number in range(COUNT)])
    finally:
        database.close(5)


def test_every_row_and_every_key_are_there_and_the_next_id_is_new(
    filled: Filled, tmp_path: Path, url: str, open_engine: Open
) -> None:
    assert move("users_service", tmp_path, url) == {"idempotency_keys": COUNT, "users": COUNT - 1}
    engine = open_engine(url)
    assert engine.read(ALL_USERS) == filled.users
    assert [engine.kept(f"key-{number}") for number in range(COUNT)] == filled.kept
    ((row,),) = [engine.write(Write(Insert(TABLE, [("Eve", "eve@example.com", "eve@example.com")])))]
    assert row[0] == COUNT + 1  # not the id of the deleted one


@pytest.mark.parametrize(
    ("service", "insert"),
    [
        ("products", "INSERT INTO products (name, cents) VALUES ('Tea', 5), ('Rice', 100000000)"),
        (
            "orders",
            "INSERT INTO orders (user_id, product_id, quantity, product_name, cents) VALUES (1, 2, 10000, 'Tea', 1999)",
        ),
    ],
)
def test_computed_columns_are_compared_too(
    tmp_path: Path, server: PostgresServer, url: str, service: str, insert: str
) -> None:
    with closing(sqlite_file.DatabaseFile(tmp_path / f"{service}.db", schema(service))) as made:
        made.writing.execute(insert)
        rows = made.writing.execute(f"SELECT count(*) FROM {service}").fetchall()[0][0]
    assert move(f"{service}_service", tmp_path, url)[service] == rows


def test_one_altered_row_undoes_the_move(filled: Filled, tmp_path: Path, url: str, open_engine: Open) -> None:
    open_engine(url).close(5)  # makes the tables
    with psycopg.connect(url, autocommit=True) as planted:
        planted.execute("""
            CREATE FUNCTION alter_one() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF NEW.id = 200 THEN NEW.name = NEW.name || ' '; END IF; RETURN NEW; END $$
        """)
        planted.execute("CREATE TRIGGER alter_one BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION alter_one()")
        with pytest.raises(NotMoved, match="row 200"):
            move("users_service", tmp_path, url)
        assert planted.execute("SELECT count(*) FROM users").fetchall() == [(0,)]
        assert planted.execute("SELECT count(*) FROM idempotency_keys").fetchall() == [(0,)]


def test_a_lost_row_undoes_the_move(filled: Filled, tmp_path: Path, url: str, open_engine: Open) -> None:
    open_engine(url).close(5)
    with psycopg.connect(url, autocommit=True) as planted:
        planted.execute("""
            CREATE FUNCTION lose_last() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF NEW.id = 299 THEN RETURN NULL; END IF; RETURN NEW; END $$
        """)
        planted.execute("CREATE TRIGGER lose_last BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION lose_last()")
        with pytest.raises(NotMoved, match="None there"):
            move("users_service", tmp_path, url)


def test_rows_that_are_there_already_are_left_alone(filled: Filled, tmp_path: Path, url: str) -> None:
    move("users_service", tmp_path, url)
    with pytest.raises(NotMoved, match="empty database"):
        move("users_service", tmp_path, url)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchall() == [(COUNT - 1,)]


def test_a_file_that_a_service_uses_is_not_moved(
    filled: Filled, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "PREDECESSOR_WAIT_S", 0.1)
    with closing(sqlite_file.DatabaseFile(tmp_path / "users.db", schema("users"))), pytest.raises(CannotStart):
        move("users_service", tmp_path, url)


def test_the_file_stays_as_it_was(filled: Filled, tmp_path: Path, url: str) -> None:
    move("users_service", tmp_path, url)
    with closing(apsw.Connection(str(tmp_path / "users.db"))) as file:
        assert file.execute(ALL_USERS).fetchall() == filled.users


def test_the_command_says_what_it_did_or_why_not(
    filled: Filled, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "elsewhere"))
    assert "there is no file" in main(["users_service"])
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    assert main(["users_service"]) == 0
    assert f"users: {COUNT - 1} rows moved" in capsys.readouterr().out
    assert "empty database" in main(["users_service"])
