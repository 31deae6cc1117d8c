"""Images for the tests that need an engine, built once."""

from collections.abc import Iterator

import pytest

from testbed.engine import Composed


@pytest.fixture(scope="session")
def built(engine: None) -> Iterator[None]:
    """The images of this test run's project. They, and everything else of the project, are removed at the end."""
    system = Composed()
    try:
        system.compose("build")
        yield
    finally:
        system.compose("down", "-v", "--rmi", "local", "--remove-orphans", check=False)
