"""Fixtures that start a PostgreSQL server, and put the services on it: `pytest tests/services --database postgres`."""

import os
from collections.abc import Iterator

import pytest

from testbed import databases
from testbed.postgres import PostgresServer, find_programs


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that chooses the engine under the services."""
    parser.addoption("--database", choices=["sqlite", "postgres"], default="sqlite", help="the engine under services")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server. Where none is installed the test is skipped; in CI it fails."""
    if find_programs() is None:
        reason = "no PostgreSQL server is installed (Debian: apt install postgresql)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    with PostgresServer() as server:
        yield server


@pytest.fixture
def sqlite_only(services_on: str) -> None:
    """Skip a test of SQLite's file where the services are on another engine."""
    if services_on != "sqlite":
        pytest.skip("about the file of SQLite")


@pytest.fixture(scope="session", autouse=True)
def services_on(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of the engine that services are started on."""
    engine: str = request.config.getoption("--database")
    if engine == "postgres":
        databases.use_server(request.getfixturevalue("postgres"))
    yield engine
    databases.use_server(None)
