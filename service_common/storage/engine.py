"""Choose the engine of a service's database."""

from pathlib import Path

from prometheus_client import CollectorRegistry

from .database import Database, Schema, WriteLimits
from .errors import CannotStart


def engine_of(url: str) -> str:
    """Return the name of the engine that a DATABASE_URL asks for; SQLite where it is empty.

    Raises:
        CannotStart: there is none for it.
    """
    if not url:
        return "sqlite"
    if url.startswith(("postgresql://", "postgres://")):
        return "postgres"
    raise CannotStart("DATABASE_URL must begin with postgresql://, or be empty for an SQLite file in DATA_DIR.")


def open_database(
    url: str, directory: Path, schema: Schema, limits: WriteLimits, registry: CollectorRegistry
) -> Database:
    """Open the database of a service: at `url`, or without one an SQLite file in `directory`, named after it.

    Only the driver of the engine that is used is imported.

    Raises:
        CannotStart: it cannot be used; the message says what to do.
    """
    if engine_of(url) == "sqlite":
        from .sqlite.database import SqliteDatabase

        return SqliteDatabase(directory / f"{schema.name}.db", schema, limits, registry)
    try:
        from .postgres.database import PostgresDatabase
    except ImportError as error:
        raise CannotStart(
            f"DATABASE_URL needs the driver of PostgreSQL ({error}). Install it: "
            "pip install --require-hashes -r requirements/postgres.txt"
        ) from None
    return PostgresDatabase(url, schema, limits, registry)
