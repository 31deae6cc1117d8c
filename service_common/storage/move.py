"""Move the data of a service from its SQLite file to PostgreSQL: `python -m service_common.storage.move users_service`.

DATA_DIR says where the file is, DATABASE_URL or DATABASE_URL_FILE where its rows go. The service must not run.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib import resources
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import psycopg
from psycopg import sql

from ..settings import Settings
from .database import Row, Schema
from .errors import CannotStart
from .postgres.connection import Connection, connect_to_write
from .postgres.migrate import migrate
from .sqlite.file import DatabaseFile

WANTED = ("DATA_DIR", "DATABASE_URL", "DATABASE_URL_FILE")  # other settings of the service do not matter
PATIENCE_S = 3600.0  # for the whole transaction
# The turn is taken, so nothing writes in the meantime. The limits on a transaction that serves clients do not apply.
_BEGIN = """
BEGIN;
SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0;
UPDATE turn SET ids = ids;
"""
_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
_LAST_ID = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence"  # of deleted rows, too
_COLUMNS = """
SELECT column_name::text, is_generated = 'NEVER', data_type = 'text', column_name::text IN (
    SELECT attname::text FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY(indkey)
    WHERE indisprimary AND indrelid = table_name::regclass)
FROM information_schema.columns WHERE table_schema = current_schema AND table_name = %s ORDER BY ordinal_position
"""


class Column(NamedTuple):
    """A column of a table in PostgreSQL."""

    name: str
    is_stored: bool  # not computed
    is_text: bool
    is_key: bool


class NotMoved(Exception):
    """Nothing was changed in PostgreSQL; the message says why."""


class Move:
    """A move of all tables in one transaction, which is committed only if every row is found as it was."""

    def __init__(self, file: apsw.Connection, server: Connection) -> None:
        """`server` is migrated to the newest version of its schema."""
        self._file = file
        self._server = server

    def run(self) -> dict[str, int]:
        """Move everything and return the number of rows of each table. Raises NotMoved, psycopg.Error."""
        self._server.within(PATIENCE_S)
        self._server.execute(_BEGIN)
        try:
            moved = {str(table): self._table(str(table)) for (table,) in self._file.execute(_TABLES).fetchall()}
            (last_id,) = self._file.execute(_LAST_ID).fetchall()[0]
            self._server.execute("UPDATE turn SET ids = greatest(ids, %s)", (last_id,))
        except BaseException:
            self._server.close()  # which rolls back
            raise
        self._server.execute("COMMIT")
        return moved

    def _table(self, table: str) -> int:
        columns = [Column(*row) for row in self._server.execute(_COLUMNS, (table,))]
        if not columns:
            raise NotMoved(f"PostgreSQL has no table {table}")
        name = sql.Identifier(table)
        if self._server.execute(sql.SQL("SELECT FROM {} LIMIT 1").format(name)).fetchall():
            raise NotMoved(f"the table {table} in PostgreSQL has rows already: move into an empty database")
        self._copy(name, columns)
        return self._compare(name, columns)

    def _copy(self, table: sql.Identifier, columns: list[Column]) -> None:
        listed = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns if column.is_stored)
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(table, listed)
        with self._server.cursor() as cursor, cursor.copy(statement) as copy:
            for row in self._file.execute(sql.SQL("SELECT {} FROM {}").format(listed, table).as_string()):
                copy.write_row(row)

    def _compare(self, table: sql.Identifier, columns: list[Column]) -> int:
        """Read all rows of both sides in the order of their key, computed columns too, and return their number."""
        select = sql.SQL("SELECT {} FROM {} ORDER BY {}")
        listed = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
        key = [column for column in columns if column.is_key]
        here = select.format(listed, table, sql.SQL(", ").join(sql.Identifier(column.name) for column in key))
        by_bytes = sql.SQL(", ").join(  # as SQLite does
            sql.SQL('{} COLLATE "C"' if column.is_text else "{}").format(sql.Identifier(column.name)) for column in key
        )
        there = self._rows(select.format(listed, table, by_bytes))
        count = 0
        for ours, theirs in zip_longest(self._file.execute(here.as_string()), there):
            if ours != theirs:
                raise NotMoved(f"{table.as_string()}: row {count + 1} is {ours!r:.300} here and {theirs!r:.300} there")
            count += 1
        return count

    def _rows(self, query: sql.Composed) -> Iterator[Row]:
        with self._server.cursor(name="move") as cursor:
            cursor.itersize = 5000
            yield from cursor.execute(query)


def move(package: str, directory: Path, url: str) -> dict[str, int]:
    """Move the data of the service in `package`. Return the number of rows of each table.

    Raises:
        NotMoved, CannotStart, psycopg.Error: nothing was changed in PostgreSQL.
    """
    name = package.removesuffix("_service")
    path = directory / f"{name}.db"
    if not path.is_file():
        raise NotMoved(f"there is no file {path}: set DATA_DIR to its directory")
    steps = {engine: _schema(package, engine) for engine in ("sqlite", "postgres")}
    with closing(DatabaseFile(path, steps["sqlite"])) as file, closing(connect_to_write(url)) as server:
        migrate(server, Schema(name, steps["postgres"]))
        return Move(file.reading, server).run()


def _schema(package: str, engine: str) -> str:
    return resources.files(package).joinpath(f"schema.{engine}.sql").read_text(encoding="utf-8")


def main(arguments: list[str]) -> Any:
    """Move what the command line and the environment name. Return the exit status or, to be printed, why not."""
    if len(arguments) != 1:
        return "usage: python -m service_common.storage.move users_service"
    settings = Settings.from_env({name: value for name, value in os.environ.items() if name in WANTED})
    try:
        moved = move(arguments[0], settings.data_dir, settings.database())
    except (NotMoved, CannotStart, ModuleNotFoundError) as error:
        return f"Nothing was moved: {error}."
    except (psycopg.Error, psycopg.Warning) as error:
        return f"Nothing was moved: PostgreSQL says: {error}"
    for table, rows in moved.items():
        sys.stdout.write(f"{table}: {rows:,} rows moved, each read back and compared\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
