"""A run that several workers make, as their master knows it: the sums of what they tell, and of their verdicts.

Each worker makes sample data of its own, with a mark of its own, and judges what bears it; the rows of the others are
to it what those of any other client are. So the parts do not overlap, and can be added up. What a worker did not judge
is not judged: without its verdict there is none, unless what the others found violates an invariant.

Pure, but for the clock: it is told of workers, and sends nothing.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .audit import EXAMPLES, HELD, INVARIANTS, UNDECIDED, VIOLATED, Counts, Finding, Report
from .progress import Progress
from .run import Phase, RunState, file_of
from .settings import SERVICES
from .timeline import Timeline

LOST_S = 10.0  # without a word of it; a worker tells of itself every 3 s
PHASES: tuple[Phase, ...] = ("sample", "load", "settle", "audit", "done")
FILES = ("report", "html", "ledger")  # of a worker, where they lie beside the master's


def shares(whole: int | None, workers: int) -> list[int | None]:
    """`whole` writes, split among workers as evenly as whole numbers allow; None: no limit for any."""
    if whole is None:
        return [None] * workers
    return [whole // workers + (place < whole % workers) for place in range(workers)]


@dataclass
class Part:
    """What is known of one worker in a run."""

    name: str  # for people
    share: int | None  # of the writes
    heard: float  # when it last told of this run, or this run was told to it; seconds of the master's clock
    state: dict[str, Any] = field(default_factory=dict)  # Run.state() of its own run; empty: it has not begun that
    timeline: dict[str, Any] | None = None  # of its load, packed; None: it has not ended
    requests: dict[str, int] = field(default_factory=dict)
    exhausted: bool = False  # its share is used up
    trouble: str | None = None  # why it cannot begin
    began: float | None = None  # when its load began, by the master's clock

    @property
    def phase(self) -> Phase:
        return self.state.get("phase", "sample")  # type: ignore[no-any-return]

    @property
    def over(self) -> bool:
        """Whether all that it will ever say has been said."""
        return self.phase == "done" or self.trouble is not None

    @property
    def report(self) -> dict[str, Any] | None:
        """What its audit found; None: there is none, or not yet."""
        return self.state.get("report")

    @property
    def taken(self) -> int:
        """How many writes of its share it had attempted when it was last heard of."""
        return int(self.state["writes"]["attempted"]) if self.state else 0

    def lost(self, now: float) -> bool:
        """Whether nothing has been heard of it for too long."""
        return not self.over and now - self.heard > LOST_S

    def flaws(self) -> list[str]:
        """Why there is no verdict for its part; empty: there is one. Asked when nobody waits for it any more."""
        if self.report is not None:
            return [f"{self.name}: {flaw}" for flaw in self.report["flaws"]]
        if self.trouble is not None:
            return [f"{self.name} could not begin: {self.trouble}"]
        if self.phase == "done":
            return [f"{self.name}: the audit itself failed"]
        of = "" if self.share is None else f" of its {self.share:,}"
        return [f"{self.name} was lost: it had attempted {self.taken:,}{of} writes when it was last heard of"]

    def as_json(self, directory: Path, final: bool) -> dict[str, Any]:
        """What a report and a page say of it; `final`: nobody waits for it any more."""
        mark = self.state.get("run")
        verdict = self.state.get("verdict")
        summary = self.report["summary"] if self.report else ""
        if final and not self.report:
            verdict, summary = UNDECIDED, f"NO VERDICT: {self.flaws()[0]}."
        return {
            "worker": self.name,
            "run": mark,
            "phase": "done" if final else self.phase,
            "verdict": verdict,
            "summary": summary,
            "writes": {"attempted": self.taken, "of": self.share},
            "ledger": self.state.get("ledger"),
            "files": [kind for kind in FILES if mark and file_of(directory, mark, kind).is_file()],
        }


class JointProgress(Progress):
    """How far the audits of all parts are."""

    def __init__(self, parts: Callable[[], Iterable[Part]]) -> None:
        super().__init__()
        self._parts = parts

    def state(self) -> dict[str, Any] | None:
        parts = list(self._parts())
        audits = [part.state["audit"] for part in parts if part.state.get("audit")]
        if not audits:
            return None
        left = [audit["seconds_left"] for audit in audits]
        return {
            "step": "workers audited",
            "done": sum(part.over for part in parts),
            "of": len(parts),
            "share": round(sum(1.0 if p.over else (p.state.get("audit") or {}).get("share", 0.0) for p in parts)
                           / len(parts), 3),
            "seconds": max(audit["seconds"] for audit in audits),
            "seconds_left": None if None in left else max(left),
        }  # fmt: skip


class Joint(RunState):
    """A run of several workers: its counters are the sums of theirs."""

    def __init__(self, directory: Path, budget: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(directory, budget)
        self.parts: dict[str, Part] = {}  # by the worker's id
        self.progress = JointProgress(self.parts.values)
        self._clock = clock

    def plan(self, workers: Mapping[str, str]) -> None:
        """Give each worker its share; `workers` are their names by id."""
        split = shares(self.budget, len(workers))
        for (id_, name), share in zip(workers.items(), split, strict=True):
            self.parts[id_] = Part(name, share, self._clock())

    def hear(self, id_: str, told: Mapping[str, Any]) -> None:
        """Take in what a worker tells of this run; what comes when that is done is too late."""
        part = self.parts.get(id_)
        if part is None or self.done.is_set():
            return
        now = self._clock()
        if told["state"] or self.load_ended is None:  # one that has not begun when it ends never will
            part.heard = now
        part.state = told["state"] or {}
        part.exhausted, part.trouble = told["exhausted"], told["trouble"]
        part.timeline, part.requests = told["timeline"], told["requests"]
        if part.began is None and part.state and part.state["load_seconds"]:
            part.began = now - part.state["load_seconds"]
        self._sum()

    def _sum(self) -> None:
        parts = [part for part in self.parts.values() if part.state]
        self.taken = sum(part.taken for part in parts)
        self.audited = sum(part.state["rows_read_back"] for part in parts)
        for service, tally in self.tallies.items():
            for name in ("attempted", "acknowledged", "refused"):
                setattr(tally, name, sum(part.state["services"][service][name] for part in parts))
            self.requests[service] = sum(part.requests.get(service, 0) for part in parts)
        if self.load_began is None:
            self.load_began = min((part.began for part in parts if part.began is not None), default=None)
        if self.phase == "sample" and self.load_began is not None:
            self.phase = "load"

    def waited_for(self) -> list[Part]:
        """The workers that are neither through nor lost."""
        now = self._clock()
        return [part for part in self.parts.values() if not part.over and not part.lost(now)]

    def settling(self) -> bool:
        """Whether one that is waited for has not begun its audit."""
        return any(PHASES.index(part.phase) < PHASES.index("audit") for part in self.waited_for())

    def load_seconds(self) -> float:
        """How long the longest load of a worker has gone on, or went on; what it tells is a little old."""
        return max((part.state["load_seconds"] for part in self.parts.values() if part.state), default=0.0)

    def unsettled(self) -> int:
        return sum(part.state["unsettled"] for part in self.parts.values() if part.state)

    def costs(self) -> list[dict[str, Any]]:
        """What the process of each worker cost."""
        return [
            cost | {"process": part.name}
            for part in self.parts.values()
            for cost in (part.report or {"costs": ()})["costs"]
        ]

    def workers(self) -> list[dict[str, Any]]:
        """What a report and a page say of the workers."""
        return [part.as_json(self.directory, self.done.is_set()) for part in self.parts.values()]

    def state(self) -> dict[str, Any]:
        return super().state() | {"workers": self.workers()}

    def merged_timeline(self) -> Timeline:
        """The slices of all loads, each from the moment at which it began."""
        whole = Timeline()
        first = self.load_began or 0.0
        for part in self.parts.values():
            if part.timeline is not None and part.began is not None:
                whole.merge(part.timeline, part.began - first)
        return whole

    def outages(self) -> list[dict[str, Any]]:
        """The outages that workers saw; those of one service that overlap are one."""
        first = self.load_began or 0.0
        seen = [
            outage | {name: round(outage[name] + part.began - first, 2) for name in ("from", "to")}
            for part in self.parts.values()
            if part.report is not None and part.began is not None
            for outage in part.report["outages"]
        ]
        merged: list[dict[str, Any]] = []
        for outage in sorted(seen, key=lambda each: each["from"]):
            same = next((m for m in merged if m["service"] == outage["service"] and outage["from"] <= m["to"]), None)
            if same is None:
                merged.append(outage)
            else:
                same["to"] = max(same["to"], outage["to"])
                same["writes"] += outage["writes"]
        return merged


def add_up(run: str, parts: Sequence[Part], flaws: Iterable[str] = ()) -> Report:
    """The report of run `run`: counts and violations are sums, 1 beats 2 beats 0, and no worker at all is 2.

    `flaws` are those that the master knows.
    """
    reports = [part.report for part in parts if part.report is not None]
    flaws = [*flaws, *(flaw for part in parts for flaw in part.flaws())]
    if not parts:
        flaws.append("no worker took part")
    invariants = [
        _finding(invariant.name, invariant.meaning, invariant.rows_of_others, reports) for invariant in INVARIANTS
    ]
    names = list(Counts.__dataclass_fields__)
    services = {
        service: Counts(**{name: sum(report["services"][service][name] for report in reports) for name in names})
        for service in SERVICES
    }
    refusals = Counter[tuple[str, str]]()
    for report in reports:
        for each in report["refusals"]:
            refusals[each["service"], each["problem"]] += each["writes"]
    in_order = sorted(refusals.items(), key=lambda each: (each[0][0], -each[1], each[0][1]))
    violated = any(finding.count for finding in invariants) or any(
        part.state.get("verdict") == VIOLATED for part in parts
    )
    undecided = flaws or any(part.state.get("verdict") != HELD for part in parts)
    undecided = undecided or any(finding.count is None for finding in invariants)
    return Report(
        run,
        VIOLATED if violated else UNDECIDED if undecided else HELD,
        flaws,
        services,
        invariants,
        [(service, problem, writes) for (service, problem), writes in in_order],
    )


def _finding(name: str, meaning: str, rows_of_others: bool, reports: Sequence[Mapping[str, Any]]) -> Finding:
    """What all audits found of one invariant; not judged where one did not judge it, and no other found anything."""
    found = [(report["run"], each) for report in reports for each in report["invariants"] if each["name"] == name]
    counts = [each["count"] for _, each in found]
    known = [count for count in counts if count is not None]
    total = max(known, default=0) if rows_of_others else sum(known)
    examples = [f"{example} of run {mark}" for mark, each in found for example in each["examples"]]
    unjudged = None in counts or len(counts) < max(1, len(reports))
    return Finding(name, meaning, None if unjudged and not total else total, examples[:EXAMPLES])
