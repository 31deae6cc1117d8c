"""Tokens are changed under load: nothing that was acknowledged is lost, and nothing tells them."""

import signal
from pathlib import Path

import pytest
import requests

from ..fleet import Fleet, Process
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
    """One after the other, each ready again before the next."""
    for service in services:
        service.stop()
        service.start()


def stopped(run: Run) -> str:
    """End a load, whose audit must hold; what it printed."""
    run.process.send_signal(signal.SIGINT)
    status, report, printed = run.end()
    assert (status, violated(report)) == (0, set()), printed[-3000:]
    return printed


def test_a_token_is_replaced_under_load_and_no_write_is_lost(tmp_path: Path, tokens: Path) -> None:
    fleet = Fleet(tmp_path / "fleet", env={"API_TOKEN_FILE": str(tokens)}).start()
    try:
        before = Run(fleet, tmp_path / "before", MANY, users=12, API_TOKEN=OLD)
        before.under_way(100)
        tokens.write_text(f"{OLD}\n{NEW}\n")  # all learn the new one; orders still presents the old one
        restarted(*fleet.all)
        tokens.write_text(f"{NEW}\n{OLD}\n")  # orders presents the new one
        restarted(fleet.orders)
        after = Run(fleet, tmp_path / "after", MANY, users=12, API_TOKEN=NEW)
        after.under_way(100)
        before.under_way(before.acknowledged() + 100)
        printed = stopped(before)
        tokens.write_text(f"{NEW}\n")  # the old one is gone
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
