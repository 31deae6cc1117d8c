"""The load generator as a process beside the fleet."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..fleet import Fleet, wait_until

RUN_S = 150


class Run:
    """One headless run; its report once it has ended."""

    def __init__(self, fleet: Fleet, directory: Path, writes: int, users: int = 24, **more: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        env = os.environ | fleet.urls() | {"REPORT_DIR": str(directory)} | more
        command = [sys.executable, "-m", "loadgen", "--headless", "--writes", str(writes), "--users", str(users)]
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def acknowledged(self) -> int:
        """How many writes the ledger has as acknowledged by now."""
        return sum(path.read_bytes().count(b'"event":"ok"') for path in self.directory.glob("ledger-*.jsonl"))

    def under_way(self, acknowledged: int) -> None:
        """Wait until so many writes have been acknowledged, while the load still runs."""
        wait_until(lambda: self.acknowledged() >= acknowledged, what=f"{acknowledged} writes")
        assert self.process.poll() is None, "the load ended before the fault"

    def end(self) -> tuple[int, dict[str, Any], str]:
        """Exit status, report, and what was printed."""
        printed, _ = self.process.communicate(timeout=RUN_S)
        (report,) = self.directory.glob("report-*.json")
        return self.process.returncode, json.loads(report.read_text()), printed


def violated(report: dict[str, Any]) -> set[str]:
    """The names of the invariants that do not hold."""
    return {invariant["name"] for invariant in report["invariants"] if invariant["count"]}
