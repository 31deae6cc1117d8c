"""What the load generator's tests share. None needs a running service."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from loadgen.client import Client
from loadgen.run import Run
from loadgen.settings import Settings

from .fake import running

Connect = Callable[[str | None], Client]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """A run without a limit of writes."""
    begun = Run(tmp_path, [], budget=None)
    yield begun
    begun.ledger.close()


@pytest.fixture
def connect(run: Run, tmp_path: Path) -> Iterator[Connect]:
    """Makes a client of `run` for services in memory, which have the fault that is named."""
    with ExitStack() as stack:

        def to(fault: str | None = None) -> Client:
            env = stack.enter_context(running(fault))
            client = Client(run, Settings.from_env(env | {"REPORT_DIR": str(tmp_path)}))
            stack.callback(client.close)
            return client

        yield to
