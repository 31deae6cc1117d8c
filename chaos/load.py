"""The load, `python -m loadgen --headless` as a user would run it, and its growing ledger."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from .history import History, Place, Try
from .pulse import Pulse
from .system import ROOT, NotHappened, System, wait_until

STOP_S = 180.0  # seconds to settle, read back and audit
FLOWING = 30  # acknowledged writes before a fault, unless told otherwise
FLOW_S = 60.0  # seconds until there is a ledger, and until the first acknowledged writes of a flow
SLOWEST_FLOW = 20.0  # acknowledged writes a second; a slower flow proves little


class Load:
    """One run of the load generator."""

    def __init__(
        self,
        system: System,
        directory: Path,
        flowing: int = FLOWING,
        options: tuple[str, ...] = ("--run-time", "3h"),
    ) -> None:
        """Start it. Ledger, report and log are in `directory`. Before each fault, `flowing` writes are acknowledged."""
        self._flowing = flowing
        directory.mkdir(parents=True)
        self.directory = directory
        env = os.environ | system.load_env() | {"REPORT_DIR": str(directory.resolve())}
        with (directory / "log.txt").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "loadgen", "--headless", "--users", str(system.users), *options],
                cwd=ROOT,
                env=env,
                stdout=log,
                stderr=log,
            )
        try:
            self.ledger: Path = wait_until(self._find, FLOW_S, "a ledger")
        except NotHappened:
            self._end()
            raise
        self._history = History()
        self.pulse = Pulse(self.ledger)
        self._read = 0  # bytes

    def _find(self) -> Path | None:
        if self._process.poll() is not None:
            raise NotHappened(f"the load generator ended: {(self.directory / 'log.txt').read_text()[-500:]}")
        return next(self.directory.glob("ledger-*.jsonl"), None)

    @property
    def history(self) -> History:
        """Return the requests in the ledger so far; each line is read once. Raises NotHappened: the load has ended."""
        self._find()
        return self._follow()

    def _follow(self) -> History:
        """Read the lines that are new in the ledger."""
        with self.ledger.open("rb") as file:
            file.seek(self._read)
            whole = file.read().rpartition(b"\n")[0]
        if whole:
            self._read += len(whole) + 1
            for line in whole.split(b"\n"):
                self._history.add(json.loads(line))
        return self._history

    @property
    def tries(self) -> list[Try]:
        """Return all requests that have ended, also after its end."""
        return self._history.ended

    def acknowledged(self, place: Place, service: str) -> bool:
        """Return True when a write of a service was acknowledged since then."""
        return any(tried.written for tried in self.history.ended_since(place) if tried.service == service)

    def await_flow(self) -> None:
        """Wait until `flowing` more writes were acknowledged. Raises NotHappened."""
        goal = self.history.acknowledged + self._flowing
        patience = FLOW_S + self._flowing / SLOWEST_FLOW
        wait_until(lambda: self.history.acknowledged >= goal, patience, f"{self._flowing} acknowledged writes")

    @property
    def sends(self) -> bool:
        """Return False once the load itself has ended: it settles, reads back, audits or is over."""
        read_back = next(self.directory.glob("readback-*"), None)
        return self._process.poll() is None and read_back is None and not self._follow().settling

    def stop(self) -> dict[str, Any]:
        """End the load and return its report, after it has settled and audited. Raises NotHappened: there is none."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        return self.finish(STOP_S)

    def finish(self, seconds: float) -> dict[str, Any]:
        """Wait until it has ended by itself, and return its report. Raises NotHappened: there is none."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise NotHappened(f"no audit of {self.ledger} within {seconds:g} s") from None
        report = next(self.directory.glob("report-*.json"), None)
        if report is None:
            raise NotHappened(f"no report: {(self.directory / 'log.txt').read_text()[-500:]}")
        self._follow()
        judged: dict[str, Any] = json.loads(report.read_text())
        return judged

    def kill(self) -> None:
        """End it without a verdict."""
        self.pulse.end()
        self._end()

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
