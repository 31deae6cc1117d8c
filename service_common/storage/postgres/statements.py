"""The statements of a group of writes, each on arrays: a statement costs the same for one row as for many."""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from psycopg import Pipeline
from psycopg.errors import UniqueViolation as UniqueViolationError

from ..database import (
    KEPT_S,
    PURGED_AT_ONCE,
    Answer,
    Delete,
    Insert,
    InUse,
    Kept,
    Missing,
    Operation,
    OtherVersion,
    Procedure,
    Purge,
    Row,
    Table,
    UniqueViolation,
    Update,
)
from .connection import Connection

TAKE_TURN = "UPDATE turn SET ids = ids + %s RETURNING ids"
# Expired rows are left out afterwards: with that condition here, the planner may read the index by age instead.
FIND_KEYS = """
    SELECT key, fingerprint, status, body, headers, created_at FROM idempotency_keys WHERE key = ANY(%b::text[])
"""
CONFIRMED_BY_ITSELF = "SELECT current_setting('synchronous_standby_names') = ''"
KEEP = """
    INSERT INTO idempotency_keys (key, fingerprint, status, body, headers, created_at)
    SELECT *, %b::bigint FROM unnest(%b::text[], %b::bytea[], %b::integer[], %b::bytea[], %b::text[])
    ON CONFLICT (key) DO UPDATE SET fingerprint = excluded.fingerprint, status = excluded.status,
        body = excluded.body, headers = excluded.headers, created_at = excluded.created_at
"""
# A clock that was ahead by more than a day may have left rows from the future. They must not block the others.
_PURGE = """
    DELETE FROM idempotency_keys WHERE key IN (
        (SELECT key FROM idempotency_keys WHERE created_at < %s ORDER BY created_at LIMIT %s)
        UNION ALL (SELECT key FROM idempotency_keys WHERE created_at > %s ORDER BY created_at LIMIT %s)
    )
"""
_COLUMN_TYPES = """
    SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
    WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped
"""
_UNIQUE_COLUMNS = """
    SELECT index.relname, array_agg(attname::text ORDER BY place)
    FROM pg_index JOIN pg_class AS index ON index.oid = indexrelid
    CROSS JOIN unnest(indkey) WITH ORDINALITY AS part (number, place)
    JOIN pg_attribute ON attrelid = indrelid AND attnum = number
    WHERE indrelid = %s::regclass AND indisunique AND NOT indisprimary AND indpred IS NULL GROUP BY index.relname
"""


@dataclass(frozen=True)
class Relation:
    """The statements of one table."""

    table: Table
    insert: str  # values: the id before the first, then an array for each field
    update: str  # values: an array of ids, then an array for each field
    lock: str  # values: an array of ids
    delete: str  # values: an array of ids
    unique: dict[str, str]  # by unique constraint, its last column


def find_relations(connection: Connection, tables: Sequence[Table]) -> dict[str, Relation]:
    """Return the statements of each table, by its name, with the types that the catalog tells."""
    return {table.name: _relation(connection, table) for table in tables}


def _relation(connection: Connection, table: Table) -> Relation:
    types = dict(connection.execute(_COLUMN_TYPES, (table.name,)).fetchall())
    constraints = connection.execute(_UNIQUE_COLUMNS, (table.name,)).fetchall()
    if len(constraints) > 1:
        raise NotImplementedError(f"{table.name} has several unique constraints: which refused a row is not known")
    fields, returned = ", ".join(table.fields), ", ".join(table.columns)
    arrays = ", ".join(f"%b::{types[field]}[]" for field in table.fields)
    qualified = ", ".join(f"{table.name}.{column}" for column in table.columns)
    # The primary key is left out: an id that is given twice is a defect, and must not pass for a refused row.
    unless = f"ON CONFLICT ({', '.join(constraints[0][1])}) DO NOTHING" if constraints else ""
    return Relation(
        table=table,
        insert=f"WITH new (id, {fields}) AS (SELECT %s + place, {fields} FROM unnest({arrays})"
        f" WITH ORDINALITY AS item ({fields}, place)) {table.insert} {unless} RETURNING {returned}",
        update=f"WITH change (id, {fields}) AS (SELECT * FROM unnest(%b::bigint[], {arrays}))"
        f" {table.update} RETURNING {qualified}",
        lock=f"SELECT {returned} FROM {table.name} WHERE id = ANY(%b::bigint[]) ORDER BY id FOR UPDATE",
        delete=f"DELETE FROM {table.name} WHERE id = ANY(%b::bigint[]) AND NOT ({table.in_use}) RETURNING id",
        unique={name: columns[-1] for name, columns in constraints},
    )


def ids_needed(operations: Sequence[Operation]) -> int:
    """Return how many ids a group asks for."""
    return sum(len(operation.rows) for operation in operations if type(operation) is Insert)


class GroupOfWrites:
    """Runs the operations of a group inside its transaction, when the turn has been taken.

    All of them wait at the same moment, so they may run in any order: rows are inserted first, then changed, then
    procedures run. Changes of one row run in the order in which they came.
    """

    def __init__(
        self, connection: Connection, pipeline: Pipeline, relations: dict[str, Relation], last_id: int
    ) -> None:
        """`last_id`: the id before the first that this group may give."""
        self._connection = connection
        self._pipeline = pipeline
        self._relations = relations
        self._last_id = last_id

    def run(self, operations: Sequence[Operation]) -> list[Any]:
        """Return the result of each operation. Raises psycopg.Error."""
        results: list[Any] = [None] * len(operations)
        inserts: dict[str, list[int]] = defaultdict(list)  # positions in `operations`, by table
        changes: dict[str, list[int]] = defaultdict(list)
        purges = []
        for position, operation in enumerate(operations):
            if isinstance(operation, Insert):
                inserts[operation.table.name].append(position)
            elif isinstance(operation, Update | Delete):
                changes[operation.table.name].append(position)
            elif isinstance(operation, Purge):
                purges.append((position, self._purge()))
        finish = [self._insert(name, positions, operations, results) for name, positions in inserts.items()]
        locked = [(name, positions, self._lock(name, positions, operations)) for name, positions in changes.items()]
        self._pipeline.sync()
        for insert in finish:
            insert()
        for position, deleted in purges:
            results[position] = deleted.rowcount
        for name, positions, found in locked:
            self._change(self._relations[name], positions, operations, {row[0]: row for row in found}, results)
        for position, operation in enumerate(operations):
            if isinstance(operation, Procedure):
                results[position] = operation.run(partial(execute, self._connection, self._pipeline))
        return results

    def _insert(
        self, name: str, positions: list[int], operations: Sequence[Operation], results: list[Any]
    ) -> Callable[[], None]:
        """Send the rows to insert in one table. Return a function that reads what became of them."""
        relation = self._relations[name]
        rows = [row for position in positions for row in operations[position].rows]  # type: ignore[union-attr]
        if not rows:
            for position in positions:
                results[position] = []
            return lambda: None
        first, self._last_id = self._last_id + 1, self._last_id + len(rows)
        cursor = self._connection.execute(relation.insert, (first - 1, *_columns(rows)), binary=True)

        def read() -> None:
            inserted = {row[0]: row for row in cursor}
            refused = UniqueViolation(next(iter(relation.unique.values()), ""))
            id = first
            for position in positions:
                count = len(operations[position].rows)  # type: ignore[union-attr]
                results[position] = [inserted.get(each, refused) for each in range(id, id + count)]
                id += count

        return read

    def _lock(self, name: str, positions: list[int], operations: Sequence[Operation]) -> Any:
        ids = sorted({operations[position].id for position in positions})  # type: ignore[union-attr]
        return self._connection.execute(self._relations[name].lock, (ids,), binary=True)

    def _change(
        self,
        relation: Relation,
        positions: list[int],
        operations: Sequence[Operation],
        rows: dict[int, Row],
        results: list[Any],
    ) -> None:
        """Change locked `rows`, which are kept up to date: each round takes the next change of every row."""
        while positions:
            round: dict[int, int] = {}  # the position of the change of each id
            later = []
            for position in positions:
                change = operations[position]
                assert isinstance(change, Update | Delete)
                if change.id in round:
                    later.append(position)
                elif (row := rows.get(change.id)) is None:
                    results[position] = Missing()
                elif not change.versions.accept(row[-1]):
                    results[position] = OtherVersion(row[-1])
                else:
                    round[change.id] = position
            updates = [each for position in round.values() if isinstance(each := operations[position], Update)]
            deletes = [each.id for position in round.values() if isinstance(each := operations[position], Delete)]
            deleted = self._delete(relation, deletes)
            changed = self._update(relation, updates)
            for id, position in round.items():
                if id in changed:
                    results[position] = result = changed[id]
                    if not isinstance(result, UniqueViolation):
                        rows[id] = result
                else:
                    results[position] = rows.pop(id) if id in deleted else InUse()
            positions = later

    def _delete(self, relation: Relation, ids: list[int]) -> set[int]:
        """Delete rows that are not in use, and return their ids."""
        if not ids:
            return set()
        cursor = self._connection.execute(relation.delete, (ids,))
        self._pipeline.sync()
        return {row[0] for row in cursor}

    def _update(self, relation: Relation, updates: list[Update]) -> dict[int, Row | UniqueViolation]:
        """Change rows in one statement. Where a unique constraint refuses one, halve them until it is found."""
        if not updates:
            return {}
        values = ([update.id for update in updates], *_columns([update.values for update in updates]))
        if relation.unique:
            self._connection.execute("SAVEPOINT change")
        try:
            cursor = self._connection.execute(relation.update, values, binary=True)
            self._pipeline.sync()
            changed: dict[int, Row | UniqueViolation] = {row[0]: row for row in cursor}
        except UniqueViolationError as error:
            self._connection.execute("ROLLBACK TO change")
            if error.diag.constraint_name not in relation.unique:
                raise
            if len(updates) == 1:
                return {updates[0].id: UniqueViolation(relation.unique[error.diag.constraint_name])}
            half = len(updates) // 2
            return self._update(relation, updates[:half]) | self._update(relation, updates[half:])
        return changed

    def _purge(self) -> Any:
        now = int(time.time())
        return self._connection.execute(_PURGE, (now - KEPT_S, PURGED_AT_ONCE, now + KEPT_S, PURGED_AT_ONCE))


def execute(connection: Connection, pipeline: Pipeline, sql: str, values: Sequence[Any] = ()) -> list[Row]:
    """Run a statement of a procedure, with `?` in the place of each value, and return its rows."""
    cursor = connection.execute(in_driver_style(sql), values)
    pipeline.sync()
    return cursor.fetchall() if cursor.description is not None else []


@lru_cache(maxsize=1000)
def in_driver_style(sql: str) -> str:
    """Return a statement with psycopg's mark in the place of each `?`."""
    return sql.replace("?", "%b")


def keep_row(key: str, kept: Kept) -> Row:
    """Return a row for `KEEP`, without its time."""
    answer = kept.answer
    return key, kept.fingerprint, answer.status, answer.body, json.dumps(answer.headers)


def found_keys(rows: Sequence[Row]) -> dict[str, Kept]:
    """Return what `FIND_KEYS` found, by key, without those whose day is over."""
    oldest = time.time() - KEPT_S
    return {
        key: Kept(fingerprint, Answer(status, body, json.loads(headers)))
        for key, fingerprint, status, body, headers, created_at in rows
        if created_at >= oldest
    }


def _columns(rows: Sequence[Row]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
