"""An empty database on a real server for each test, and the engine on it."""

from collections.abc import Callable, Iterator
from importlib import resources
from itertools import count

import pytest
from prometheus_client import CollectorRegistry

from lessons.patches import variant
from service_common.storage.database import Schema, WriteLimits
from testbed.postgres import PostgresServer
from users_service.app import TABLE

pytest.importorskip("psycopg", reason="the driver of PostgreSQL is not installed")
from service_common.storage.postgres.database import PostgresDatabase

from .proxy import Proxy

SQL = resources.files("users_service").joinpath("schema.postgres.sql").read_text(encoding="utf-8")
SCHEMA = Schema("users", SQL, (TABLE,))
Open = Callable[..., PostgresDatabase]


def faulty(fault: str) -> type[PostgresDatabase]:
    """Return the engine with a fault, which the test of a promise must find."""
    kind: type[PostgresDatabase] = variant("service_common.storage.postgres.database", fault).PostgresDatabase
    return kind


_numbers = count()


@pytest.fixture
def server(postgres: PostgresServer) -> PostgresServer:
    """The server that all tests share. A test that stops it starts it again."""
    return postgres


@pytest.fixture
def url(server: PostgresServer) -> str:
    """The URL of an empty database."""
    return server.create_database(f"users{next(_numbers)}")


@pytest.fixture
def proxy(server: PostgresServer) -> Iterator[Proxy]:
    """A proxy before the server."""
    proxy = Proxy(server.port)
    yield proxy
    proxy.close()


@pytest.fixture
def through(url: str, server: PostgresServer, proxy: Proxy) -> str:
    """The URL of the empty database through the proxy."""
    return url.replace(str(server.port), str(proxy.port))


@pytest.fixture
def open_engine() -> Iterator[Open]:
    """Open the engine on a URL; it is closed after the test."""
    opened: list[PostgresDatabase] = []

    def open_it(url: str, kind: type[PostgresDatabase] = PostgresDatabase, **limits: float) -> PostgresDatabase:
        opened.append(kind(url, SCHEMA, WriteLimits(**limits), CollectorRegistry()))  # type: ignore[arg-type]
        return opened[-1]

    yield open_it
    for database in opened:
        database.close(1)


@pytest.fixture
def database(open_engine: Open, url: str) -> PostgresDatabase:
    """The engine on an empty database."""
    return open_engine(url)
