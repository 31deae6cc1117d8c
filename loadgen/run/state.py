"""The state of a run: its mark, its files, its phase, and the JSON that the page shows."""

import secrets
import string
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from gevent.event import Event

from ..audit.invariants import INVARIANTS
from ..audit.ledger import Ledger
from ..report.measurements import Measurements
from ..traces.slowest import Slowest
from ..traffic.scenario import Scenario, steady
from ..traffic.workload import Budget, Tally, Workload
from .progress import Progress

Phase = Literal["sample", "load", "settle", "audit", "done"]
FILES = {
    "report": "report-{}.json",
    "html": "report-{}.html",
    "ledger": "ledger-{}.jsonl",
}  # the files of a run, by kind
MARK_LENGTH = 6  # of 36 characters: two billion marks, and only runs on the same data must differ


def file_of(directory: Path, mark: str, kind: str) -> Path:
    """Return the path of a run's file of a kind."""
    return directory / FILES[kind].format(mark)


class RunState:
    """The parts of a run that the terminal and the page show."""

    def __init__(self, directory: Path, limit: int | None, hint: str = "") -> None:
        """`limit`: the writes that its load may make; None: any number.

        `directory` is where its files are; `hint` is that directory as the user knows it, if that is another name.
        """
        self.mark = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(MARK_LENGTH))
        self.directory = directory
        self.hint = hint
        self.started_at = datetime.now(UTC)
        self.phase: Phase = "sample"
        self.budget = Budget(limit)
        self.sample_writes = 0
        self.done = Event()
        self.audited = 0  # rows read back so far
        self.progress = Progress()  # of the audit
        self.measurements = Measurements()
        self.flaws: list[str] = []  # the reasons why there can be no verdict
        self.load_began: float | None = None  # time.monotonic(), seconds
        self.load_ended: float | None = None
        self.settings: dict[str, Any] = {}
        self.slowest: Slowest | None = None  # of the traced requests of this process
        self.report: dict[str, Any] | None = None
        self.verdict: int | None = None

    def file(self, kind: str) -> Path:
        """Return the path of this run's file of a kind."""
        return file_of(self.directory, self.mark, kind)

    def shown(self, kind: str) -> str:
        """Return the path of a file as the user can open it."""
        path = self.file(kind)
        return f"{self.hint.rstrip('/')}/{path.name}" if self.hint else str(path)

    def flaw(self, reason: str) -> None:
        """Note, once, a reason why there can be no verdict; the load stops."""
        if reason not in self.flaws:
            self.flaws.append(reason)
        self.budget.exhausted.set()

    def load_seconds(self) -> float:
        """Return the length of the load so far."""
        if self.load_began is None:
            return 0.0
        return max((self.load_ended or time.monotonic()) - self.load_began, 0.001)

    def tallies(self) -> Mapping[str, Tally]:
        """Return the writes of each service so far."""
        raise NotImplementedError

    def timeline(self, since: int = 0) -> dict[str, Any]:
        """Return the figures of each slice of the load so far, from number `since` on, and the outages."""
        timeline = self.measurements.timeline
        return timeline.as_json(since) | {"outages": timeline.outages_as_json()}

    def traces(self) -> tuple[int, list[dict[str, Any]]]:
        """Return the slowest traced requests, as `Slowest.as_json` does, after a number that changes with them."""
        return (self.slowest.version, self.slowest.as_json()) if self.slowest is not None else (0, [])

    def load_writes(self) -> int:
        """Return the number of writes that the load has attempted, without the sample data."""
        if self.load_began is None:
            return 0
        return sum(tally.attempted for tally in self.tallies().values()) - self.sample_writes

    def state(self) -> dict[str, Any]:
        """Return the phase, the counters, and the report once there is one."""
        tallies = self.tallies()
        return {
            "run": self.mark,
            "phase": self.phase,
            "started_at": self.started_at.isoformat(timespec="milliseconds"),
            "writes": {"attempted": self.budget.taken, "of": self.budget.limit},
            "sample_writes": self.sample_writes,
            "load_seconds": round(self.load_seconds(), 3),
            "services": {
                name: {
                    "attempted": tally.attempted,
                    "acknowledged": tally.acknowledged,
                    "refused": tally.refused,
                    "in_flight": tally.in_flight,
                    "unknown": tally.unanswered,
                }
                for name, tally in tallies.items()
            },
            "rows_read_back": self.audited,
            "audit": self.progress.state(),
            "flaws": self.flaws,
            "verdict": self.verdict,
            "files": [kind for kind in FILES if self.file(kind).is_file()],
            "invariants": self._invariants(),
            "report": self.report,
        }

    def _invariants(self) -> list[dict[str, Any]]:
        """Return the invariants with their violations; before the audit without any."""
        if self.report is not None:
            found: list[dict[str, Any]] = self.report["invariants"]
            return found
        return [{"name": each.name, "meaning": each.meaning, "count": None, "examples": []} for each in INVARIANTS]

    def outcome(self) -> dict[str, Any]:
        """Return the parts that the page still shows when another run has begun."""
        state = self.state()
        summary = self.report["summary"] if self.report else "No verdict."
        return {key: state[key] for key in ("run", "started_at", "verdict", "files")} | {"summary": summary}


class Run(RunState):
    """A run whose writes this process makes."""

    def __init__(self, directory: Path, limit: int | None, scenario: Scenario | None = None, hint: str = "") -> None:
        """Begin a run and its ledger.

        Raises:
            OSError: the ledger cannot be written.
        """
        super().__init__(directory, limit, hint)
        ledger = Ledger(self.file("ledger"))
        self.workload = Workload(self.mark, ledger, scenario or steady(), self.budget, self.flaw)

    def tallies(self) -> Mapping[str, Tally]:
        return self.workload.count_open()

    def state(self) -> dict[str, Any]:
        return super().state() | {"ledger": self.shown("ledger")}
