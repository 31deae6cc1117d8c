"""The load generator as a process, against the services of a fleet."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from testbed import Fleet, wait_until

RUN_S = 150


class Run:
    """One headless run."""

    def __init__(self, fleet: Fleet, directory: Path, writes: int, users: int = 24, **more: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        env = os.environ | fleet.urls() | {"REPORT_DIR": str(directory)} | more
        command = [sys.executable, "-m", "loadgen", "--headless", "--writes", str(writes), "--users", str(users)]
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def acknowledged(self) -> int:
        """Return the number of writes that the ledger holds as acknowledged by now."""
        return sum(path.read_bytes().count(b'"event":"ok"') for path in self.directory.glob("ledger-*.jsonl"))

    def under_way(self, acknowledged: int) -> None:
        """Wait until `acknowledged` writes are acknowledged, while the load still runs."""
        wait_until(lambda: self.acknowledged() >= acknowledged, what=f"{acknowledged} writes")
        assert self.process.poll() is None, "the load ended before the fault"

    def end(self) -> tuple[int, dict[str, Any], str]:
        """Wait for the end; return the exit status, the report and the output."""
        printed, _ = self.process.communicate(timeout=RUN_S)
        (report,) = self.directory.glob("report-*.json")
        return self.process.returncode, json.loads(report.read_text()), printed


def violated(report: dict[str, Any]) -> set[str]:
    """Return the names of the violated invariants."""
    return {invariant["name"] for invariant in report["invariants"] if invariant["count"]}
