"""The services as the tests of this folder need them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from testbed import Fleet, Process

from .client import log_lines

Alone = Callable[..., Process]


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The three services, shared by all tests of this folder; whatever these sent, each line of their logs is JSON."""
    running = Fleet(tmp_path_factory.mktemp("services"))
    try:
        yield running.start()
    finally:
        running.stop()
    for process in running.all:
        assert log_lines(process)


@pytest.fixture(scope="session")
def products(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Products without orders, which would settle what it has not reserved itself."""
    process = Process("products", "products_service.app:create_app()", tmp_path_factory.mktemp("products"), {})
    try:
        yield process.start()
    finally:
        process.stop()
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
        for process in started:  # all are told before any is waited for
            if process.process is not None and process.process.poll() is None:
                process.process.terminate()
        for process in started:
            process.stop()
