"""Fixtures for several folders of tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from hypothesis import settings

from testbed import Fleet
from testbed.engine import engine_runs

from .databases import postgres, pytest_addoption, services_on, sqlite_only  # noqa: F401 - fixtures, and a hook of pytest

# Fixed cases; `--hypothesis-profile=long` generates new ones, HYPOTHESIS_EXAMPLES for each test.
settings.register_profile("short", derandomize=True, deadline=None, database=None)
settings.register_profile("long", max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "5000")), deadline=None)
settings.load_profile("short")


@pytest.fixture(autouse=True)
def gevent_knows_the_time() -> None:
    """Update gevent's clock: after a test without gevent it is old, and a timeout could expire at once."""
    gevent.get_hub().loop.update_now()


@pytest.fixture(scope="session")
def engine() -> None:
    """Skip, or in CI fail, a test that needs an engine where there is none."""
    if not engine_runs():
        reason = "no Docker engine with Compose: start one to run the container tests"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The services, shared by the tests of a module. They create data of their own and delete none."""
    running = Fleet(tmp_path_factory.mktemp("fleet"))
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.fixture
def own_fleet(tmp_path: Path) -> Iterator[Fleet]:
    """The services for one test, which may break them."""
    running = Fleet(tmp_path)
    try:
        yield running.start()
    finally:
        running.stop()
