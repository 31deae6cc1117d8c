"""The services as the tests of this folder need them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..fleet import Fleet, Process
from .client import log_lines

Alone = Callable[..., Process]


@pytest.fixture(scope="module")
def fleet(fleet: Fleet) -> Iterator[Fleet]:
    """The three services, shared by a module; whatever its tests sent, each line of their logs is JSON."""
    yield fleet
    for process in fleet.all:
        assert log_lines(process)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Alone]:
    """Starts single services for a test, which it may break: `alone("users", WRITE_TIMEOUT="1")`."""
    started: list[Process] = []

    def start(name: str, wait: bool = True, **env: str) -> Process:
        started.append(Process(name, f"{name}_service.app:create_app()", tmp_path, env))
        return started[-1].start(wait)

    try:
        yield start
    finally:
        for process in started:
            process.stop()
