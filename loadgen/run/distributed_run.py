"""A distributed run as its master knows it: the sums of the workers' counts, and of their verdicts.

Each worker has its own sample data and its own mark, and judges the rows that bear the mark. To it the rows of the
other workers are those of any other client. So the parts do not overlap, and can be added up. Without the verdict of
every worker there is no verdict, unless the others found a violation.

Pure, except for the clock: it takes in the workers' reports, and sends nothing.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..audit.invariants import INVARIANTS
from ..audit.judge import EXAMPLES, FAIL, NO_VERDICT, PASS, Counts, Finding, Report
from ..report.measurements import Measurements
from ..report.timeline import Timeline
from ..settings import SERVICES
from ..traces.slowest import merge
from ..traffic.workload import Tally
from .progress import Progress
from .state import Phase, RunState, file_of

PLAN = "threefold_plan"  # the message of a master to a worker
TOLD = "threefold"  # our part of a worker's report to its master
LOST_S = 10.0  # without a report; a worker sends one every 3 s
PHASES: tuple[Phase, ...] = ("sample", "load", "settle", "audit", "done")
FILES = ("report", "html", "ledger")  # of a worker, if it writes to the master's directory


def shares(whole: int | None, workers: int) -> list[int | None]:
    """Split `whole` writes among workers as evenly as whole numbers allow; None: no limit for any."""
    if whole is None:
        return [None] * workers
    return [whole // workers + (place < whole % workers) for place in range(workers)]


@dataclass
class Part:
    """One worker's part of a run."""

    name: str  # for people
    share: int | None  # of the writes
    heard: float  # the time of its last report, or of the plan; seconds of the master's clock
    state: dict[str, Any] = field(default_factory=dict)  # Run.state() of its own run; empty: it has not begun that
    measurements: dict[str, Any] | None = None  # of its load, packed; None: it has not ended
    timeline: Timeline = field(default_factory=Timeline)  # of its load so far
    outages: list[dict[str, Any]] = field(default_factory=list)  # in its load so far
    traces: list[dict[str, Any]] = field(default_factory=list)  # its slowest, when its load has ended
    requests: dict[str, int] = field(default_factory=dict)
    exhausted: bool = False  # its share is used up
    trouble: str | None = None  # the reason why it cannot begin
    began: float | None = None  # the time when its load began, by the master's clock

    @property
    def phase(self) -> Phase:
        return self.state.get("phase", "sample")  # type: ignore[no-any-return]

    @property
    def over(self) -> bool:
        """True when no later report can change anything."""
        return self.phase == "done" or self.trouble is not None

    @property
    def report(self) -> dict[str, Any] | None:
        """The report of its audit; None: there is none, or not yet."""
        return self.state.get("report")

    @property
    def taken(self) -> int:
        """The writes of its share that it had attempted by its last report."""
        return int(self.state["writes"]["attempted"]) if self.state else 0

    def lost(self, now: float) -> bool:
        """Return True if its last report is too old."""
        return not self.over and now - self.heard > LOST_S

    def flaws(self) -> list[str]:
        """Return why there is no verdict on its part, when it is no longer waited for; empty: there is one."""
        if self.report is not None:
            return [f"{self.name}: {flaw}" for flaw in self.report["flaws"]]
        if self.trouble is not None:
            return [f"{self.name} could not begin: {self.trouble}"]
        if self.phase == "done":
            return [f"{self.name}: the audit itself failed"]
        of = "" if self.share is None else f" of its {self.share:,}"
        return [f"{self.name} was lost: by its last report it had attempted {self.taken:,}{of} writes"]

    def as_json(self, directory: Path, final: bool) -> dict[str, Any]:
        """Return its part of the report and the page; `final`: it is no longer waited for."""
        mark = self.state.get("run")
        verdict = self.state.get("verdict")
        summary = self.report["summary"] if self.report else ""
        if final and not self.report:
            verdict, summary = NO_VERDICT, f"NO VERDICT: {self.flaws()[0]}."
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
    """Progress of the audits of all parts."""

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


class DistributedRun(RunState):
    """A run of several workers: its counters are the sums of theirs."""

    def __init__(
        self, directory: Path, limit: int | None, hint: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(directory, limit, hint)
        self.parts: dict[str, Part] = {}  # by the worker's id
        self.progress = JointProgress(self.parts.values)
        self._clock = clock
        self._tallies = {service: Tally() for service in SERVICES}

    def tallies(self) -> Mapping[str, Tally]:
        return self._tallies

    def plan(self, workers: Mapping[str, str]) -> None:
        """Give each worker its share; `workers` are their names by id."""
        split = shares(self.budget.limit, len(workers))
        for (id_, name), share in zip(workers.items(), split, strict=True):
            self.parts[id_] = Part(name, share, self._clock())

    def hear(self, id_: str, told: Mapping[str, Any]) -> None:
        """Take in a worker's report; after the end of the run it is too late."""
        part = self.parts.get(id_)
        if part is None or self.done.is_set():
            return
        now = self._clock()
        if told["state"] or self.load_ended is None:  # one that has not begun when it ends never will
            part.heard = now
        part.state = told["state"] or {}
        part.exhausted, part.trouble = told["exhausted"], told["trouble"]
        part.measurements, part.requests = told["measurements"], told["requests"]
        part.traces = told.get("traces", [])
        if timeline := told.get("timeline"):
            part.timeline.replace(timeline)
            part.outages = told["outages"]
        if part.began is None and part.state and part.state["load_seconds"]:
            part.began = now - part.state["load_seconds"]
        self._sum()

    def _sum(self) -> None:
        parts = [part for part in self.parts.values() if part.state]
        self.budget.taken = sum(part.taken for part in parts)
        self.sample_writes = sum(part.state["sample_writes"] for part in parts)
        self.audited = sum(part.state["rows_read_back"] for part in parts)
        for service in SERVICES:
            counts = [part.state["services"][service] for part in parts]
            names = ("attempted", "acknowledged", "refused", "in_flight", "unknown")
            self._tallies[service] = Tally(*(sum(each[name] for each in counts) for name in names))
            self.measurements.requests[service] = sum(part.requests.get(service, 0) for part in parts)
        if self.load_began is None:
            self.load_began = min((part.began for part in parts if part.began is not None), default=None)
        if self.phase == "sample" and self.load_began is not None:
            self.phase = "load"

    def traces(self) -> tuple[int, list[dict[str, Any]]]:
        found = merge(part.traces for part in self.parts.values())
        return len(found), found

    def waited_for(self) -> list[Part]:
        """Return the workers that are neither done nor lost."""
        now = self._clock()
        return [part for part in self.parts.values() if not part.over and not part.lost(now)]

    def settling(self) -> bool:
        """Return True if one that is waited for has not begun its audit."""
        return any(PHASES.index(part.phase) < PHASES.index("audit") for part in self.waited_for())

    def load_seconds(self) -> float:
        """Return the length of the longest load of a worker, by its last report."""
        return max((part.state["load_seconds"] for part in self.parts.values() if part.state), default=0.0)

    def costs(self) -> list[dict[str, Any]]:
        """Return the cost of each worker's process."""
        return [
            cost | {"process": part.name}
            for part in self.parts.values()
            for cost in (part.report or {"costs": ()})["costs"]
        ]

    def workers(self) -> list[dict[str, Any]]:
        """Return the workers as the report and the page show them."""
        return [part.as_json(self.directory, self.done.is_set()) for part in self.parts.values()]

    def state(self) -> dict[str, Any]:
        return super().state() | {"workers": self.workers()}

    def merge_measurements(self) -> None:
        """Add up the measurements of all loads, each from the moment at which it began."""
        self.measurements = Measurements()
        first = self.load_began or 0.0
        for part in self.parts.values():
            if part.measurements is not None and part.began is not None:
                self.measurements.merge(part.measurements, part.began - first)

    def timeline(self, since: int = 0) -> dict[str, Any]:
        if self.load_ended is not None and self.measurements.timeline.slices:
            return self.measurements.timeline.as_json(since) | {"outages": self.outages()}
        whole, first = Timeline(), self.load_began or 0.0
        for part in self.parts.values():
            whole.merge(part.timeline.pack(), (part.began or first) - first)
        return whole.as_json(since) | {"outages": self.outages()}

    def outages(self) -> list[dict[str, Any]]:
        """Return the outages that workers saw; those of one service that overlap are merged."""
        first = self.load_began or 0.0
        seen = [
            outage | {name: round(outage[name] + part.began - first, 2) for name in ("from", "to")}
            for part in self.parts.values()
            if part.began is not None
            for outage in (part.report["outages"] if part.report else part.outages)
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
    """Return the report of a distributed run: counts and violations are sums; the worst verdict counts.

    A violation is worse than no verdict; without any worker there is no verdict. `flaws` are those that the master
    knows.
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
    not_judged = Counter[str]()
    stock = Counter[str]()
    for report in reports:
        not_judged.update(report["not_judged"])
        stock.update(report["stock"])
    in_order = sorted(refusals.items(), key=lambda each: (each[0][0], -each[1], each[0][1]))
    violated = any(finding.count for finding in invariants) or any(part.state.get("verdict") == FAIL for part in parts)
    undecided = flaws or any(part.state.get("verdict") != PASS for part in parts)
    undecided = undecided or any(finding.count is None for finding in invariants)
    return Report(
        run,
        FAIL if violated else NO_VERDICT if undecided else PASS,
        flaws,
        services,
        invariants,
        [(service, problem, writes) for (service, problem), writes in in_order],
        sample_writes=sum(report["sample_writes"] for report in reports),
        not_judged=dict(not_judged),
        stock=dict(stock),
    )


def _finding(name: str, meaning: str, rows_of_others: bool, reports: Sequence[Mapping[str, Any]]) -> Finding:
    """Add up one invariant; it is not judged where one audit did not judge it and no other found a violation."""
    found = [(report["run"], each) for report in reports for each in report["invariants"] if each["name"] == name]
    counts = [each["count"] for _, each in found]
    known = [count for count in counts if count is not None]
    total = max(known, default=0) if rows_of_others else sum(known)
    examples = [f"{example} of run {mark}" for mark, each in found for example in each["examples"]]
    unjudged = None in counts or len(counts) < max(1, len(reports))
    return Finding(name, meaning, None if unjudged and not total else total, examples[:EXAMPLES])
