"""One run: its mark, its ledger, its counters and its phase. What a page can show while it goes on."""

import secrets
import string
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from gevent.event import Event

from .audit import INVARIANTS
from .ledger import Ledger, Op
from .progress import Progress
from .scenario import Scenario, steady
from .settings import SERVICES
from .timeline import Timeline

Phase = Literal["sample", "load", "settle", "audit", "done"]
FILES = {
    "report": "report-{}.json",
    "html": "report-{}.html",
    "ledger": "ledger-{}.jsonl",
}  # what a run leaves, by kind
MARK_LENGTH = 6  # of 36 characters: two thousand million marks, and only runs on the same data must differ


def file_of(directory: Path, mark: str, kind: str) -> Path:
    """Where a run puts its file of a kind."""
    return directory / FILES[kind].format(mark)


@dataclass(slots=True)
class Tally:
    """Writes of one service so far. Those neither acknowledged nor refused are unknown, or in flight."""

    attempted: int = 0
    acknowledged: int = 0
    refused: int = 0


@dataclass(slots=True)
class OwnUser:
    """A user to order for: of one shopper alone, or hot."""

    id: int
    orders: int = 0

    def next_quantity(self) -> int:
        """A quantity that no other order of this user has: (user, product, quantity) is one order, or it is wrong."""
        self.orders += 1
        return self.orders


class RunState:
    """What a terminal and a page show of a run, whoever makes its writes."""

    def __init__(self, directory: Path, budget: int | None) -> None:
        """`directory` is where its files lie, `budget` how many writes its load makes (None: no limit)."""
        self.mark = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(MARK_LENGTH))
        self.directory = directory
        self.started_at = datetime.now(UTC)
        self.phase: Phase = "sample"
        self.budget = budget
        self.taken = 0  # of the budget
        self.exhausted = Event()  # set when the budget is used up
        self.done = Event()
        self.tallies = {service: Tally() for service in SERVICES}
        self.audited = 0  # rows read back so far
        self.progress = Progress()  # of the audit
        self.timeline = Timeline()
        self.requests = dict.fromkeys(SERVICES, 0)  # of the load, by service
        self.flaws: list[str] = []  # why no verdict can be reached
        self.load_began: float | None = None  # time.monotonic(), seconds
        self.load_ended: float | None = None
        self.settings: dict[str, Any] = {}  # with what it is made
        self.report: dict[str, Any] | None = None
        self.verdict: int | None = None

    def file(self, kind: str) -> Path:
        """Where this run puts its file of a kind."""
        return file_of(self.directory, self.mark, kind)

    def flaw(self, reason: str) -> None:
        """Note, once, why no verdict can be reached; the load stops."""
        if reason not in self.flaws:
            self.flaws.append(reason)
        self.exhausted.set()

    def load_seconds(self) -> float:
        """How long the load has gone on, or went on."""
        if self.load_began is None:
            return 0.0
        return max((self.load_ended or time.monotonic()) - self.load_began, 0.001)

    def unsettled(self) -> int:
        """How many requests have made writes whose fate is not known yet."""
        return 0

    def state(self) -> dict[str, Any]:
        """What a page shows: the phase, the counters, and the report once there is one."""
        return {
            "run": self.mark,
            "phase": self.phase,
            "started_at": self.started_at.isoformat(timespec="milliseconds"),
            "writes": {"attempted": self.taken, "of": self.budget},
            "load_seconds": round(self.load_seconds(), 3),
            "services": {
                name: {
                    "attempted": tally.attempted,
                    "acknowledged": tally.acknowledged,
                    "refused": tally.refused,
                    "unknown": tally.attempted - tally.acknowledged - tally.refused,
                }
                for name, tally in self.tallies.items()
            },
            "unsettled": self.unsettled(),
            "rows_read_back": self.audited,
            "audit": self.progress.state(),
            "flaws": self.flaws,
            "verdict": self.verdict,
            "files": [kind for kind in FILES if self.file(kind).is_file()],
            "invariants": self._invariants(),
            "report": self.report,
        }

    def _invariants(self) -> list[dict[str, Any]]:
        """The invariants with what was found; until then without."""
        if self.report is not None:
            found: list[dict[str, Any]] = self.report["invariants"]
            return found
        return [{"name": each.name, "meaning": each.meaning, "count": None, "examples": []} for each in INVARIANTS]

    def outcome(self) -> dict[str, Any]:
        """What a page still shows of a run when another has begun."""
        state = self.state()
        summary = self.report["summary"] if self.report else "No verdict."
        return {key: state[key] for key in ("run", "started_at", "verdict", "files")} | {"summary": summary}


class Run(RunState):
    """The state of one run. Everything that happens in it is known here; what it means is the audit's to say."""

    def __init__(
        self, directory: Path, kinds: Iterable[str], budget: int | None, scenario: Scenario | None = None
    ) -> None:
        """Begin a run whose ledger lies in `directory`, whose load makes `budget` writes (None: no limit).

        Raises:
            OSError: the ledger cannot be written.
        """
        super().__init__(directory, budget)
        self.scenario = scenario or steady()
        self.open: dict[int, Op] = {}  # writes whose fate is not known yet
        self.first_ids: dict[str, int] = {}  # by service: no id of this run is smaller
        self.hot_users: list[OwnUser] = []  # which all shoppers order for
        self.hot_products: list[int] = []  # which all shoppers share, and race for
        self._ops = 0
        self._undealt = list(kinds)
        self.ledger = Ledger(self.file("ledger"))
        self.ledger.write({"event": "run", "run": self.mark, "kinds": self._undealt})
        if budget == 0:
            self.exhausted.set()

    def take(self, wanted: int = 1) -> int:
        """How many of `wanted` more writes the load may make; 0 when the budget is used up."""
        granted = wanted if self.budget is None else min(wanted, self.budget - self.taken)
        self.taken += granted
        if self.taken == self.budget:
            self.exhausted.set()
        return granted

    def deal(self) -> str | None:
        """A kind of action that nobody has begun yet, so that even a short run tries every one; None: all begun."""
        return self._undealt.pop() if self._undealt else None

    def next_number(self) -> int:
        """The number of the next operation; each is used once."""
        self._ops += 1
        return self._ops

    def write_op(
        self,
        service: str,
        action: str,
        body: Any,
        expects: str | list[str] = "ok",
        *,
        number: int | None = None,
    ) -> Op:
        """A POST to a collection under a fresh key, to its batch where `expects` is a list."""
        path = f"/{service}/batch" if isinstance(expects, list) else f"/{service}"
        return Op(number or self.next_number(), service, action, "POST", path, body, str(uuid4()), expects)

    def read_op(self, service: str, action: str, path: str, reads: tuple[int, int] | None = None) -> Op:
        """A GET; `reads` is the write that it must show."""
        return Op(self.next_number(), service, action, "GET", path, reads=reads)

    def patch_op(self, service: str, action: str, id: int, body: Any, etag: str) -> Op:
        """A PATCH that must meet the version `etag`, in a race with others."""
        path = f"/{service}/{id}"
        return Op(self.next_number(), service, action, "PATCH", path, body, expects="any", if_match=etag)

    def unsettled(self) -> int:
        return len(self.open)

    def state(self) -> dict[str, Any]:
        return super().state() | {"ledger": str(self.ledger.path)}
