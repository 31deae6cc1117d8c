"""The load: `python -m loadgen --headless`, as a user would run it, and its ledger while it grows."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from .history import History, Place
from .system import ROOT, NotHappened, System, wait_until

USERS = "64"
STOP_S = 180.0  # to settle, read back and audit
FLOWING = 30  # acknowledged writes before a fault, unless told otherwise
FLOW_S = 60.0  # for a ledger, and for the first acknowledged writes of a flow
SLOWEST_FLOW = 20.0  # acknowledged writes a second; what flows slower proves little


class Load:
    """One run of the load generator."""

    def __init__(self, system: System, directory: Path, flowing: int = FLOWING) -> None:
        """Start it; its ledger, report and log lie in `directory`. `flowing` writes come before each fault."""
        self._flowing = flowing
        directory.mkdir(parents=True)
        self.directory = directory
        env = os.environ | system.load_env() | {"REPORT_DIR": str(directory.resolve())}
        with (directory / "log.txt").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "loadgen", "--headless", "--run-time", "3h", "--users", USERS],
                cwd=ROOT,
                env=env,
                stdout=log,
                stderr=log,
            )
        try:
            self.ledger: Path = wait_until(self._find, FLOW_S, "a ledger")
        except NotHappened:
            self.kill()
            raise
        self._history = History()
        self._read = 0  # bytes

    def _find(self) -> Path | None:
        if self._process.poll() is not None:
            raise NotHappened(f"the load generator ended: {(self.directory / 'log.txt').read_text()[-500:]}")
        return next(self.directory.glob("ledger-*.jsonl"), None)

    @property
    def history(self) -> History:
        """What the ledger says by now; each of its lines is read once. Raises NotHappened: the load has ended."""
        self._find()
        with self.ledger.open("rb") as file:
            file.seek(self._read)
            whole = file.read().rpartition(b"\n")[0]
        if whole:
            self._read += len(whole) + 1
            for line in whole.split(b"\n"):
                self._history.add(json.loads(line))
        return self._history

    def acknowledged(self, place: Place, service: str) -> bool:
        """Whether a write of a service was acknowledged since then."""
        return any(tried.written for tried in self.history.ended_since(place) if tried.service == service)

    def await_flow(self) -> None:
        """Wait until as many acknowledgements have arrived as were asked for. Raises NotHappened."""
        goal = self.history.acknowledged + self._flowing
        patience = FLOW_S + self._flowing / SLOWEST_FLOW
        wait_until(lambda: self.history.acknowledged >= goal, patience, f"{self._flowing} acknowledged writes")

    def stop(self) -> dict[str, Any]:
        """End the load; its report, after settling and audit. Raises NotHappened: there is none."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise NotHappened(f"no audit of {self.ledger} within {STOP_S:g} s") from None
        report = next(self.directory.glob("report-*.json"), None)
        if report is None:
            raise NotHappened(f"no report: {(self.directory / 'log.txt').read_text()[-500:]}")
        judged: dict[str, Any] = json.loads(report.read_text())
        return judged

    def kill(self) -> None:
        """End it without a verdict."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
