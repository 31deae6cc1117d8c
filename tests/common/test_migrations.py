"""The services' own schemas, and how a file of an older version is brought to a newer one, or left as it was."""

from importlib import resources
from pathlib import Path

import apsw
import pytest

from service_common.store import Store, Unstartable, steps

OWN = pytest.mark.parametrize("name", ["users", "products", "orders"])
ADDED = (
    "ALTER TABLE {name} ADD COLUMN note TEXT NOT NULL DEFAULT 'none';\n",
    "CREATE INDEX {name}_notes ON {name} (note);\nUPDATE {name} SET note = 'old';\n",
)
ROW = {
    "users": "INSERT INTO users (name, email, email_key) VALUES ('Ada', 'a@b', 'a@b')",
    "products": "INSERT INTO products (name, cents) VALUES ('Tea', 1999)",
    "orders": "INSERT INTO orders (user_id, product_id, quantity, product_name, cents) VALUES (1, 1, 2, 'Tea', 1999)",
}


def schema(name: str) -> str:
    return resources.files(f"{name}_service").joinpath("schema.sql").read_text(encoding="utf-8")


def newer_schema(name: str, *added: str) -> str:
    """The service's own schema with further steps."""
    own = schema(name)
    further = (f"\n-- version {number}: a further step\n{sql}" for number, sql in enumerate(added, len(steps(own)) + 1))
    return own + "".join(further).format(name=name)


def filled(path: Path, name: str) -> Path:
    """A database of the service's own version, with one row and one kept key."""
    store = Store(path / f"{name}.db", schema(name))
    store.writing.execute(ROW[name])
    store.writing.execute(
        "INSERT INTO idempotency_keys (key, fingerprint, status, body, headers, created_at) VALUES ('k', x'00', 201, x'7b7d', '{}', 1)"
    )
    store.close()
    return path / f"{name}.db"


def dump(path: Path) -> list[object]:
    """Version, schema and rows of a database file."""
    db = apsw.Connection(str(path))
    found: list[object] = [db.pragma("user_version")]
    tables = db.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()
    for table, sql in tables:
        found.append((table, sql))
        if sql and sql.startswith("CREATE TABLE"):
            found += db.execute(f"SELECT * FROM {table}").fetchall()
    db.close()
    return found


@OWN
def test_a_schema_of_ours_makes_a_strict_database_of_its_newest_version(tmp_path: Path, name: str) -> None:
    db = apsw.Connection(str(filled(tmp_path, name)))
    assert db.pragma("user_version") == len(steps(schema(name)))
    assert db.pragma("integrity_check") == "ok"
    tables = dict(
        db.execute("SELECT name, strict FROM pragma_table_list WHERE name IN (?, 'idempotency_keys')", (name,))
    )
    assert tables == {name: 1, "idempotency_keys": 1}


@OWN
def test_a_file_is_brought_over_several_versions_at_once_and_keeps_its_rows(tmp_path: Path, name: str) -> None:
    path = filled(tmp_path, name)
    newer = newer_schema(name, *ADDED)
    store = Store(path, newer)
    assert store.read(f"SELECT id, note FROM {name}") == [(1, "old")]
    assert store.read("SELECT key, status FROM idempotency_keys") == [("k", 201)]
    assert store.writing.pragma("user_version") == len(steps(newer))
    store.close()


@OWN
def test_opening_it_again_changes_nothing(tmp_path: Path, name: str) -> None:
    path = filled(tmp_path, name)
    before = dump(path)
    Store(path, schema(name)).close()
    assert dump(path) == before


@OWN
@pytest.mark.parametrize(
    "broken", ["NONSENSE;", "CREATE TABLE {name} (again INTEGER);", "INSERT INTO {name} (nothing) VALUES (1);"]
)
def test_a_migration_that_fails_in_its_last_step_leaves_the_file_as_it_was(
    tmp_path: Path, name: str, broken: str
) -> None:
    path = filled(tmp_path, name)
    before = dump(path)
    failing = newer_schema(name, *ADDED, broken)
    with pytest.raises(Unstartable, match="cannot be opened"):
        Store(path, failing)
    assert dump(path) == before


@OWN
def test_a_file_of_a_newer_program_is_refused_and_left_as_it_was(tmp_path: Path, name: str) -> None:
    path = filled(tmp_path, name)
    newer = newer_schema(name, ADDED[0])
    Store(path, newer).close()
    before = dump(path)
    with pytest.raises(
        Unstartable, match=f"schema version {len(steps(newer))}, this program knows {len(steps(schema(name)))}"
    ):
        Store(path, schema(name))
    assert dump(path) == before


@OWN
def test_ids_go_on_where_they_were_after_an_upgrade(tmp_path: Path, name: str) -> None:
    path = filled(tmp_path, name)
    store = Store(path, schema(name))
    store.writing.execute(f"DELETE FROM {name}")
    store.close()
    store = Store(path, newer_schema(name, ADDED[0]))
    assert store.writing.execute(ROW[name] + " RETURNING id").fetchall() == [(2,)]
    store.close()


@pytest.mark.parametrize("text", ["", "-- version 1\n", "-- version 1: named\nSELECT 1;\n-- version 2\n"])
def test_steps_are_what_stands_between_their_lines(text: str) -> None:
    assert len(steps(text)) == text.count("-- version")


@pytest.mark.parametrize(
    "text",
    ["SELECT 1;\n-- version 1\n", "-- version 0\n", "-- version 1\n-- version 1\n", "-- version 2\n-- version 1\n"],
)
def test_steps_that_do_not_count_from_one_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="counts on by one"):
        steps(text)


def test_orders_of_the_first_version_get_an_index_for_both_filters(tmp_path: Path) -> None:
    first = steps(schema("orders"))[0]
    Store(tmp_path / "orders.db", "-- version 1\n" + first).close()
    store = Store(tmp_path / "orders.db", schema("orders"))
    plan = store.read(
        "EXPLAIN QUERY PLAN SELECT id FROM orders WHERE id > 7 AND user_id = 1 AND product_id = 2 ORDER BY id LIMIT 9"
    )
    (step,) = (row[-1] for row in plan)  # one step: what is found is in order already
    assert "orders_by_user_and_product (user_id=? AND product_id=? AND rowid>?)" in step
    store.close()
