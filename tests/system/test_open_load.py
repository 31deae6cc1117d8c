"""The stall of a service in an open load and in a closed one."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from testbed import Fleet, wait_until

pytestmark = pytest.mark.alone
PAUSE_S = 2.0


def paused_run(fleet: Fleet, directory: Path, *arguments: str) -> dict[str, Any]:
    """Return the report of a run of 6 seconds in which orders is paused for PAUSE_S."""
    env = os.environ | fleet.urls() | {"REPORT_DIR": str(directory)}
    command = [sys.executable, "-m", "loadgen", "--headless", "--run-time", "6s", "--users", "32", *arguments]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    ledger = wait_until(lambda: next(directory.glob("ledger-*.jsonl"), None), what="a ledger")
    wait_until(lambda: ledger.read_bytes().count(b'"event":"ok"') > 200, what="a load")
    fleet.orders.signal(signal.SIGSTOP)
    time.sleep(PAUSE_S)  # the fault itself
    fleet.orders.signal(signal.SIGCONT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0, printed
    report: dict[str, Any] = json.loads(next(directory.glob("report-*.json")).read_text())
    return report


def orders(report: dict[str, Any], figure: str) -> float:
    return float(next(each for each in report["latencies_ms"] if each["action"] == "create_order")[figure])


@pytest.mark.timeout(120)
def test_a_stall_shows_in_the_percentiles_of_an_open_load_and_not_of_a_closed_one(fleet: Fleet, tmp_path: Path) -> None:
    opened = paused_run(fleet, tmp_path / "open", "--rate", "150")
    assert opened["load"]["kind"] == "open"
    # A third of the run was a stall, so a third of the scheduled requests met it, even those that were sent late.
    assert orders(opened, "p95") > PAUSE_S * 1000 / 2
    closed = paused_run(fleet, tmp_path / "closed")
    assert closed["load"]["kind"] == "closed"
    assert orders(closed, "p95") < PAUSE_S * 1000 / 4 < orders(closed, "max")
