"""The campaign itself on a real engine: what it must find."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..system.composed import ROOT, engine_runs

pytestmark = [pytest.mark.alone, pytest.mark.engine, pytest.mark.timeout(240)]


def test_an_acknowledgement_before_the_commit_is_found_when_the_service_is_killed(tmp_path: Path) -> None:
    if not engine_runs():
        reason = "no Docker engine with Compose: start one to run the container tests"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    broken = ["--extra", "tests/chaos/hasty.yml", "--reports", str(tmp_path)]
    command = [sys.executable, "-m", "chaos", "--fault", "kill-orders", "--seed", "1", *broken]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=220)
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-2000:]
    (report,) = tmp_path.glob("*/report.json")
    assert json.loads(report.read_text())["totals"]["lost"] > 0
