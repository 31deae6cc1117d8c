"""A campaign on a real engine, with a service that is broken on purpose."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lessons.patches import copy_code
from testbed import ROOT

HASTY = "service_common/storage/sqlite/database.py"
PAUSE = "time.sleep, 0.1"
pytestmark = [pytest.mark.alone, pytest.mark.engine, pytest.mark.timeout(240)]


def test_finds_acknowledgements_before_the_commit_when_the_service_is_killed(tmp_path: Path, engine: None) -> None:
    code = copy_code(tmp_path / "code", "answer-before-commit")
    text = (code / HASTY).read_text()
    assert PAUSE in text
    (code / HASTY).write_text(text.replace(PAUSE, "time.sleep, 1.0"))  # few writes come in a tenth of a second
    extra = tmp_path / "hasty.yml"
    extra.write_text(f"services: {{orders: {{volumes: ['{code / HASTY}:/app/{HASTY}:ro']}}}}")
    broken = ["--extra", str(extra), "--reports", str(tmp_path)]
    command = [sys.executable, "-m", "chaos", "--fault", "kill-orders", "--seed", "1", *broken]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=220)
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-2000:]
    (report,) = tmp_path.glob("*/report.json")
    assert json.loads(report.read_text())["totals"]["lost"] > 0
