"""Fixtures that several folders of tests use."""

import os
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from hypothesis import settings

from .fleet import Fleet

# The same cases every time, unless `--hypothesis-profile=long` asks for new ones, HYPOTHESIS_EXAMPLES of each test.
settings.register_profile("short", derandomize=True, deadline=None, database=None)
settings.register_profile("long", max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "5000")), deadline=None)
settings.load_profile("short")


@pytest.fixture(autouse=True)
def gevent_knows_the_time() -> None:
    """Its loop reads the clock when it turns: after a test without it, a timeout could be over before it began."""
    gevent.get_hub().loop.update_now()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The three services, shared by the tests of a module: these make data of their own and delete none."""
    running = Fleet(tmp_path_factory.mktemp("fleet"))
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.fixture
def own_fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Three services of a test's own, which it may break."""
    running = Fleet(tmp_path)
    try:
        yield running.start()
    finally:
        running.stop()
