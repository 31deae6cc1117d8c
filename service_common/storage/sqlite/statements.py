"""The statements of writes, on a connection with an open transaction."""

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import apsw
import gevent

from ..database import (
    KEPT_S,
    PURGED_AT_ONCE,
    Answer,
    Delete,
    Execute,
    Insert,
    InUse,
    Kept,
    Missing,
    OtherVersion,
    Probe,
    Procedure,
    Purge,
    Row,
    Table,
    UniqueViolation,
    Update,
    Versions,
    Write,
)
from ..group_commit import Outcome

FIND_KEY = "SELECT fingerprint, status, body, headers, created_at FROM idempotency_keys WHERE key = ?"
_KEEP_KEY = """INSERT OR REPLACE INTO idempotency_keys (key, fingerprint, status, body, headers, created_at)
               VALUES (?, ?, ?, ?, ?, ?)"""
# A clock that was ahead by more than a day may have left rows from the future. They must not block the others.
_PURGE = """DELETE FROM idempotency_keys WHERE created_at NOT BETWEEN ? AND ?
            AND id IN (SELECT id FROM idempotency_keys ORDER BY id LIMIT ?)"""

# Errors of the statement itself. Any other error is the storage's and aborts the transaction.
STATEMENT_ERRORS = (
    apsw.ConstraintError, apsw.SQLError, apsw.BindingsError, apsw.MismatchError, apsw.TooBigError, apsw.BusyError,
)  # fmt: skip

# Raised in a write, these concern that write alone, although they are no Exception. KeyboardInterrupt is the process's.
NOT_ERRORS = (gevent.Timeout, gevent.GreenletExit, SystemExit)


class Statements:
    """Runs writes. The SQL of each table is put together once."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self._inserts = {table.name: _insert_sql(table) for table in tables}
        self._updates = {table.name: _update_sql(table) for table in tables}
        self._selects = {
            table.name: f"SELECT {', '.join(table.columns)} FROM {table.name} WHERE id = ?" for table in tables
        }
        self._deletes = {
            table.name: f"DELETE FROM {table.name} WHERE id = ? AND NOT ({table.in_use}) RETURNING id"
            for table in tables
        }
        self._operations: dict[type, Callable[[apsw.Connection, Any], Any]] = {
            Insert: self._insert,
            Update: self._update,
            Delete: self._delete,
            Purge: _purge,
            Probe: probe,
        }

    def run_plainly(self, db: apsw.Connection, writes: Sequence[Write]) -> list[Outcome] | None:
        """Run writes without savepoints. Return None where one failed after it had changed rows.

        In a savepoint SQLite keeps the old content of each page that is changed. For many rows in random places of the
        indices that costs more than all the rest. Few writes fail, and most of these fail in their first statement,
        which leaves nothing behind. Where one does leave something, all run anew, each in a savepoint. So a write may
        run twice, and must have no effect but on rows.

        Raises:
            apsw.Error: the storage failed, and the whole transaction with it.
        """
        outcomes: list[Outcome] = []
        for write in writes:
            before = db.total_changes()
            try:
                outcomes.append((self.run(db, write), None))
            except (Exception, *NOT_ERRORS) as raised:
                outcomes.append((None, own_error(db, raised)))
                if db.total_changes() != before:
                    return None
        return outcomes

    def run_in_savepoints(self, db: apsw.Connection, writes: Sequence[Write]) -> list[Outcome]:
        """Run each write in a savepoint, which is rolled back where it fails. Raises as `run_plainly` does."""
        outcomes: list[Outcome] = []
        for write in writes:
            db.execute("SAVEPOINT write")
            try:
                outcomes.append((self.run(db, write), None))
            except (Exception, *NOT_ERRORS) as raised:
                outcomes.append((None, own_error(db, raised)))
                db.execute("ROLLBACK TO write")
            db.execute("RELEASE write")
        return outcomes

    def run(self, db: apsw.Connection, write: Write) -> Any:
        """Make a write and return its outcome; with a key that has decided already, do nothing and return that.

        Raises:
            apsw.Error: the storage failed, or the write breaks a rule of the table that is not a unique constraint.
            Exception: a defect in `write.answer`.
        """
        key = write.key
        if key is not None:
            rows = db.execute(FIND_KEY, (key.value,)).fetchall()
            if rows and (kept := found(rows[0])) is not None:
                return kept
        operation = write.operation
        if isinstance(operation, Procedure):
            result = operation.run(executor(db))
        else:
            result = self._operations[type(operation)](db, operation)
        if write.answer is None:
            return result
        answer = write.answer(result)
        if key is not None:
            row = (key.value, key.fingerprint, answer.status, answer.body, json.dumps(answer.headers), int(time.time()))
            db.execute(_KEEP_KEY, row)
        return answer

    def _insert(self, db: apsw.Connection, insert: Insert) -> list[Row | UniqueViolation]:
        sql = self._inserts[insert.table.name]
        results: list[Row | UniqueViolation] = []
        for values in insert.rows:
            try:
                results += db.execute(sql, values).fetchall()
            except apsw.ConstraintError as error:
                results.append(_violation(error))
        return results

    def _update(self, db: apsw.Connection, update: Update) -> Row | UniqueViolation | Missing | OtherVersion | InUse:
        found = self._find(db, update.table, update.id, update.versions)
        if isinstance(found, Missing | OtherVersion):
            return found
        try:
            rows: list[Row] = db.execute(self._updates[update.table.name], (update.id, *update.values)).fetchall()
        except apsw.ConstraintError as error:
            return _violation(error)
        return rows[0] if rows else InUse()

    def _delete(self, db: apsw.Connection, delete: Delete) -> Row | Missing | OtherVersion | InUse:
        found = self._find(db, delete.table, delete.id, delete.versions)
        if isinstance(found, Missing | OtherVersion):
            return found
        return found if db.execute(self._deletes[delete.table.name], (delete.id,)).fetchall() else InUse()

    def _find(self, db: apsw.Connection, table: Table, id: int, versions: Versions) -> Row | Missing | OtherVersion:
        rows = db.execute(self._selects[table.name], (id,)).fetchall()
        if not rows:
            return Missing()
        row: Row = rows[0]
        return row if versions.accept(row[-1]) else OtherVersion(row[-1])


def own_error(db: apsw.Connection, raised: BaseException) -> Exception:
    """Return the exception of a write for its caller. Raise it instead where it is the storage's."""
    error = raised
    if not isinstance(error, Exception):
        error = RuntimeError(f"a write ended with {type(raised).__name__}")
        error.__cause__ = raised
    if not db.in_transaction or (isinstance(error, apsw.Error) and not isinstance(error, STATEMENT_ERRORS)):
        raise error from error.__cause__
    return error


def executor(db: apsw.Connection) -> Execute:
    """Return what a Procedure runs its statements with."""
    return lambda sql, values=(): db.execute(sql, values).fetchall()


def found(row: Row) -> Kept | None:
    """Return what `FIND_KEY` found; None where its day is over."""
    fingerprint, status, body, headers, created_at = row
    if created_at < time.time() - KEPT_S:
        return None
    return Kept(fingerprint, Answer(status, body, json.loads(headers)))


def _insert_sql(table: Table) -> str:
    columns, marks = ", ".join(("id", *table.fields)), ", ".join("?" * len(table.fields))
    return f"WITH new ({columns}) AS (VALUES (NULL, {marks})) {table.insert} RETURNING {', '.join(table.columns)}"


def _update_sql(table: Table) -> str:
    columns, marks = ", ".join(("id", *table.fields)), ", ".join("?" * (len(table.fields) + 1))
    returned = ", ".join(f"{table.name}.{column}" for column in table.columns)
    return f"WITH change ({columns}) AS (VALUES ({marks})) {table.update} RETURNING {returned}"


def _violation(error: apsw.ConstraintError) -> UniqueViolation:
    """Return the unique constraint that failed. Raises `error` where it is another constraint."""
    if "UNIQUE constraint failed" not in str(error):
        raise error
    return UniqueViolation(str(error).rpartition(".")[2])


def _purge(db: apsw.Connection, _purge: Purge) -> int:
    now = int(time.time())
    db.execute(_PURGE, (now - KEPT_S, now + KEPT_S, PURGED_AT_ONCE))
    return db.changes()


def probe(db: apsw.Connection, _probe: Probe | None = None) -> None:
    """Write the schema's version again: a transaction that changes nothing but reaches the disk."""
    db.pragma("user_version", db.pragma("user_version"))
