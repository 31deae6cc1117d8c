"""Images for the tests that need an engine, built once."""

import os
from collections.abc import Iterator

import pytest

from .composed import Composed, engine_runs


@pytest.fixture(scope="session")
def built() -> Iterator[None]:
    """The images of this test run's project; they and all else of it are removed at the end."""
    if not engine_runs():
        reason = "no Docker engine with Compose: start one to run the container tests"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    system = Composed()
    try:
        system.compose("build")
        yield
    finally:
        system.compose("down", "-v", "--rmi", "local", "--remove-orphans", check=False)
