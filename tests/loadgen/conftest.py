"""Fixtures of the load generator's tests. None needs a running service."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from loadgen.run.state import Run
from loadgen.settings import Settings
from loadgen.traffic.sender import Sender
from loadgen.traffic.workload import Workload

from .fake import running

Connect = Callable[..., Sender]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """A run without a limit of writes."""
    begun = Run(tmp_path, None)
    yield begun
    begun.workload.ledger.close()


@pytest.fixture
def workload(run: Run) -> Workload:
    return run.workload


@pytest.fixture
def connect(workload: Workload, tmp_path: Path) -> Iterator[Connect]:
    """Makes a sender for services in memory that have the named fault."""
    with ExitStack() as stack:

        def to(fault: str | None = None) -> Sender:
            env = stack.enter_context(running(fault))
            sender = Sender(workload, Settings.from_env(env | {"REPORT_DIR": str(tmp_path)}))
            stack.callback(sender.close)
            return sender

        yield to
