"""The load: `python -m loadgen --headless`, as a user would run it, and its ledger while it grows."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .system import ROOT, NotHappened, System, wait_until

USERS = "64"
STOP_S = 180.0  # to settle, read back and audit
FLOWING = 30  # acknowledged writes before a fault, unless told otherwise
FLOW_S = 60.0


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
        self.ledger: Path = wait_until(self._find, FLOW_S, "a ledger")

    def _find(self) -> Path | None:
        if self._process.poll() is not None:
            raise NotHappened(f"the load generator ended: {(self.directory / 'log.txt').read_text()[-500:]}")
        return next(self.directory.glob("ledger-*.jsonl"), None)

    def place(self) -> int:
        """Where the ledger ends now, in bytes."""
        return self.ledger.stat().st_size

    def lines(self, start: int, end: int | None = None) -> Iterator[dict[str, Any]]:
        """The whole lines between two places."""
        with self.ledger.open("rb") as file:
            file.seek(start)
            data = file.read() if end is None else file.read(end - start)
        pieces = data.split(b"\n")[:-1]
        for piece in pieces if start == 0 else pieces[1:]:  # the first may have begun before
            yield json.loads(piece)

    def acknowledged(self, start: int, service: str | None = None) -> int:
        """How many writes, or those of one service, were acknowledged since a place."""
        return sum(
            line["event"] == "ok"
            and line["status"] == 201
            and (service is None or str(line["location"]).startswith(f"/{service}/"))
            for line in self.lines(start)
        )

    def await_flow(self) -> None:
        """Wait until acknowledgements arrive. Raises NotHappened."""
        start = self.place()
        wait_until(lambda: self.acknowledged(start) >= self._flowing, FLOW_S, "acknowledged writes")

    def stop(self) -> dict[str, Any]:
        """End the load; its report, after settling and audit. Raises NotHappened: there is none."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
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
