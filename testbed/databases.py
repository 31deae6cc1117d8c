"""The databases of services under test, whichever engine they are on.

A service has a database for each directory that it is started in: a SQLite file there, or a database on a PostgreSQL
server, if `use_server` has named one.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import apsw

from .postgres import PostgresServer

_server: PostgresServer | None = None
_urls: dict[tuple[Path, str], str] = {}  # by directory and service
_numbers = count()  # of databases


class Started(Protocol):
    """A service that was started by this package."""

    service: str

    @property
    def directory(self) -> Path:
        """Where it was started."""


def use_server(server: PostgresServer | None) -> None:
    """Put the databases of services that are started from here on on a server; None: in files."""
    global _server
    _server = server
    _urls.clear()


def environment(directory: Path, service: str) -> dict[str, str]:
    """Return what tells a service where its database is. The first call makes an empty one."""
    if _server is None:
        return {}
    place = directory.resolve(), service
    if place not in _urls:
        _urls[place] = _server.create_database(f"{service}_{next(_numbers)}")
    return {"DATABASE_URL": _urls[place]}


def name_of(started: Started) -> str:
    """Return the name of the database of a service on the server."""
    return _url(started).rpartition("/")[2]


def query(started: Started, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run SQL on the database of a service, with `?` in the place of each value, and return all rows."""
    if _server is None:
        with closing(apsw.Connection(str(_file(started)))) as db:
            return db.execute(sql, values).fetchall()
    import psycopg

    with psycopg.connect(_url(started), autocommit=True) as connection:
        cursor = connection.execute(sql.replace("?", "%s"), values)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def hold_writes(started: Started) -> Iterator[None]:
    """Keep a service from writing, as another program or replica does that has begun a transaction."""
    if _server is None:
        with closing(apsw.Connection(str(_file(started)))) as db:
            db.execute("BEGIN IMMEDIATE")
            yield
        return
    import psycopg

    with psycopg.connect(_url(started)) as connection:
        connection.execute("SELECT FROM turn FOR UPDATE")
        yield


@contextmanager
def hold_transactions(started: Started) -> Iterator[None]:
    """Keep the transactions of a service from ending, once they have begun and taken their writes."""
    if _server is None:
        with hold_writes(started):  # on SQLite a transaction takes its writes before it waits for the file
            yield
        return
    import psycopg

    with psycopg.connect(_url(started)) as connection:
        connection.execute(f"LOCK TABLE {started.service} IN EXCLUSIVE MODE".encode())
        yield


def _file(started: Started) -> Path:
    return started.directory / f"{started.service}.db"


def _url(started: Started) -> str:
    return _urls[started.directory.resolve(), started.service]
