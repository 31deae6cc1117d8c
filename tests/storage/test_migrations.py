"""The services' schemas, and the migration of a file from an older version, which succeeds or changes nothing."""

from importlib import resources
from pathlib import Path
from typing import Any

import apsw
import pytest

from service_common.storage.errors import CannotStart
from service_common.storage.migrations import steps
from service_common.storage.sqlite.file import DatabaseFile

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


def rows_of(file: DatabaseFile, sql: str) -> list[Any]:
    """Return the rows that the reading connection finds."""
    return file.reading.execute(sql).fetchall()


def schema(name: str) -> str:
    return resources.files(f"{name}_service").joinpath("schema.sqlite.sql").read_text(encoding="utf-8")


def newer_schema(name: str, *added: str) -> str:
    """Return the service's schema with further steps."""
    own = schema(name)
    further = (f"\n-- version {number}: a further step\n{sql}" for number, sql in enumerate(added, len(steps(own)) + 1))
    return own + "".join(further).format(name=name)


def filled(path: Path, name: str) -> Path:
    """Make a database of the service's version with one row and one kept key, and return its path."""
    file = DatabaseFile(path / f"{name}.db", schema(name))
    file.writing.execute(ROW[name])
    file.writing.execute(
        "INSERT INTO idempotency_keys (key, fingerprint, status, body, headers, created_at) VALUES ('k', x'00', 201, x'7b7d', '{}', 1)"
    )
    file.close()
    return path / f"{name}.db"


def dump(path: Path) -> list[object]:
    """Return version, schema and rows of a database file."""
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
def test_a_new_database_is_strict_and_of_the_newest_version(tmp_path: Path, name: str) -> None:
    db = apsw.Connection(str(filled(tmp_path, name)))
    assert db.pragma("user_version") == len(steps(schema(name)))
    assert db.pragma("integrity_check") == "ok"
    tables = dict(
        db.execute("SELECT name, strict FROM pragma_table_list WHERE name IN (?, 'idempotency_keys')", (name,))
    )
    assert tables == {name: 1, "idempotency_keys": 1}
    assert not db.execute("SELECT name FROM pragma_table_list WHERE NOT strict AND name NOT LIKE 'sqlite_%'").fetchall()


@OWN
def test_migrates_over_several_versions_at_once_and_keeps_the_rows(tmp_path: Path, name: str) -> None:
    path = filled(tmp_path, name)
    newer = newer_schema(name, *ADDED)
    file = DatabaseFile(path, newer)
    assert rows_of(file, f"SELECT id, note FROM {name}") == [(1, "old")]
    assert rows_of(file, "SELECT key, status FROM idempotency_keys") == [("k", 201)]
    assert file.writing.pragma("user_version") == len(steps(newer))
    file.close()


@OWN
def test_reopening_a_current_file_changes_nothing(tmp_path: Path, name: str) -> None:
    path = filled(tmp_path, name)
    before = dump(path)
    DatabaseFile(path, schema(name)).close()
    assert dump(path) == before


@OWN
@pytest.mark.parametrize(
    "broken", ["NONSENSE;", "CREATE TABLE {name} (again INTEGER);", "INSERT INTO {name} (nothing) VALUES (1);"]
)
def test_a_migration_that_fails_in_its_last_step_leaves_the_file_unchanged(
    tmp_path: Path, name: str, broken: str
) -> None:
    path = filled(tmp_path, name)
    before = dump(path)
    failing = newer_schema(name, *ADDED, broken)
    with pytest.raises(CannotStart, match="cannot be opened"):
        DatabaseFile(path, failing)
    assert dump(path) == before


@OWN
def test_refuses_a_file_of_a_newer_program_and_leaves_it_unchanged(tmp_path: Path, name: str) -> None:
    path = filled(tmp_path, name)
    newer = newer_schema(name, ADDED[0])
    DatabaseFile(path, newer).close()
    before = dump(path)
    with pytest.raises(
        CannotStart, match=f"schema version {len(steps(newer))}, this program knows {len(steps(schema(name)))}"
    ):
        DatabaseFile(path, schema(name))
    assert dump(path) == before


@OWN
def test_ids_are_not_reused_after_a_migration(tmp_path: Path, name: str) -> None:
    path = filled(tmp_path, name)
    file = DatabaseFile(path, schema(name))
    file.writing.execute(f"DELETE FROM {name}")
    file.close()
    file = DatabaseFile(path, newer_schema(name, ADDED[0]))
    assert file.writing.execute(ROW[name] + " RETURNING id").fetchall() == [(2,)]
    file.close()


@pytest.mark.parametrize("text", ["", "-- version 1\n", "-- version 1: named\nSELECT 1;\n-- version 2\n"])
def test_each_version_line_begins_a_step(text: str) -> None:
    assert len(steps(text)) == text.count("-- version")


@pytest.mark.parametrize(
    "text",
    ["SELECT 1;\n-- version 1\n", "-- version 0\n", "-- version 1\n-- version 1\n", "-- version 2\n-- version 1\n"],
)
def test_rejects_steps_that_do_not_count_from_one(text: str) -> None:
    with pytest.raises(ValueError, match="counts on by one"):
        steps(text)


def test_migrates_orders_of_version_one_to_an_index_for_both_filters(tmp_path: Path) -> None:
    first = steps(schema("orders"))[0]
    DatabaseFile(tmp_path / "orders.db", "-- version 1\n" + first).close()
    file = DatabaseFile(tmp_path / "orders.db", schema("orders"))
    plan = rows_of(
        file,
        "EXPLAIN QUERY PLAN SELECT id FROM orders WHERE id > 7 AND user_id = 1 AND product_id = 2 ORDER BY id LIMIT 9",
    )
    (step,) = (row[-1] for row in plan)  # one step: no sorting
    assert "orders_by_user_and_product (user_id=? AND product_id=? AND rowid>?)" in step
    file.close()


def test_migrates_products_of_version_one_to_unlimited_ones(tmp_path: Path) -> None:
    first = steps(schema("products"))[0]
    file = DatabaseFile(tmp_path / "products.db", "-- version 1\n" + first)
    file.writing.execute(ROW["products"])
    before = rows_of(file, "SELECT id, name, cents, price, version, created_at FROM products")
    file.close()
    file = DatabaseFile(tmp_path / "products.db", schema("products"))
    assert rows_of(file, "SELECT id, name, cents, price, version, created_at, stock FROM products") == [
        (*before[0], None)
    ]
    assert rows_of(file, "SELECT * FROM reservations UNION ALL SELECT *, 1 FROM sales") == []
    file.close()
