"""Bring a PostgreSQL database to the newest version of a service's schema."""

from importlib import resources

from ..database import Schema
from ..errors import CannotStart
from ..migrations import steps
from .connection import Connection

_LOCK = 0x74687265  # of those that migrate; any number that no other program uses in this database
_PATIENCE_S = 60  # for a step that makes an index of a large table

# Not to_regclass(): while this session waited for the lock, it would remember that there is no such table.
_EXISTS = "SELECT FROM pg_class WHERE relname = 'schema_version' AND relkind = 'r' AND pg_table_is_visible(oid)"
_VERSION = "SELECT service, version FROM schema_version"
_BOOKKEEPING = resources.files(__package__).joinpath("bookkeeping.sql")
_CREATE = """
CREATE TABLE schema_version (
    single  boolean PRIMARY KEY DEFAULT true CHECK (single),
    service text NOT NULL, -- whose database this is
    version integer NOT NULL
)
"""


def migrate(connection: Connection, schema: Schema) -> None:
    """Make the steps that a database lacks, in one transaction.

    A role without the right to create tables can serve a database that is up to date.

    Raises:
        CannotStart: the database is another service's, or of a newer version than `schema` knows.
        psycopg.Error: a step failed. Nothing was changed.
    """
    todo = steps(schema.sql)
    if _version(connection, schema, len(todo)) == len(todo):
        return
    connection.within(_PATIENCE_S)
    with connection.transaction():
        connection.execute(f"SET LOCAL statement_timeout = '{_PATIENCE_S}s'; SET LOCAL lock_timeout = '{_PATIENCE_S}s'")
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        version = _version(connection, schema, len(todo))  # another replica may have been first
        if version is None:
            connection.execute(_BOOKKEEPING.read_text(encoding="utf-8"))
            connection.execute(_CREATE)
            connection.execute("INSERT INTO schema_version (service, version) VALUES (%s, 0)", (schema.name,))
        for step in todo[version or 0 :]:
            connection.execute(step)  # from a file of the program
        connection.execute("UPDATE schema_version SET version = %s", (len(todo),))


def _version(connection: Connection, schema: Schema, newest: int) -> int | None:
    """Return the version that a database has, None for an empty one. Raises CannotStart."""
    if not connection.execute(_EXISTS).fetchall():
        return None
    service, version = connection.execute(_VERSION).fetchall()[0]
    if service != schema.name:
        raise CannotStart(
            f"The database of DATABASE_URL is that of {service}: each service needs a database of its own."
        )
    if version > newest:
        raise CannotStart(
            f"The database of DATABASE_URL has version {version} of its schema, and this program knows {newest}. "
            "Start a newer program, or use another database."
        )
    found: int = version
    return found
