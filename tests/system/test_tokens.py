"""Tokens are replaced under load: no acknowledged write is lost, and no log shows a token."""

import signal
from pathlib import Path

import pytest
import requests

from testbed import Fleet, Process

from .loadgen import Run, violated

OLD, NEW = "old-secret", "new-secret"
MANY = 1_000_000


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """The file that all services read when they start."""
    file = tmp_path / "tokens"
    file.write_text(OLD)
    return file


def restarted(*services: Process) -> None:
    """Restart services one after the other, each when the one before is ready."""
    for service in services:
        service.stop()
        service.start()


def stopped(run: Run) -> str:
    """End a load, check that its audit holds, and return its output."""
    run.process.send_signal(signal.SIGINT)
    status, report, printed = run.end()
    assert (status, violated(report)) == (0, set()), printed[-3000:]
    return printed


def test_replacing_a_token_under_load_loses_no_write(tmp_path: Path, tokens: Path) -> None:
    fleet = Fleet(tmp_path / "fleet", env={"API_TOKEN_FILE": str(tokens)}).start()
    try:
        before = Run(fleet, tmp_path / "before", MANY, users=12, API_TOKEN=OLD)
        before.under_way(100)
        tokens.write_text(f"{OLD}\n{NEW}\n")  # all accept the new one; orders still presents the old one
        restarted(*fleet.all)
        tokens.write_text(f"{NEW}\n{OLD}\n")  # orders presents the new one
        restarted(fleet.orders)
        after = Run(fleet, tmp_path / "after", MANY, users=12, API_TOKEN=NEW)
        after.under_way(100)
        before.under_way(before.acknowledged() + 100)
        printed = stopped(before)
        tokens.write_text(f"{NEW}\n")  # the old one is no longer valid
        restarted(*fleet.all)
        after.under_way(after.acknowledged() + 100)
        for process in fleet.all:
            for token, status in ((NEW, 200), (OLD, 401)):
                bearer = {"Authorization": f"Bearer {token}"}
                url = f"{process.url}/{process.service}"
                assert requests.get(url, headers=bearer, timeout=10).status_code == status
        printed += stopped(after)
    finally:
        fleet.stop()
    written = [file for name in ("before", "after") for file in (tmp_path / name).iterdir()]
    assert {file.suffix for file in written} == {".json", ".jsonl", ".html"}
    for text in (printed, *(process.logged() for process in fleet.all), *(file.read_text() for file in written)):
        assert OLD not in text
        assert NEW not in text
