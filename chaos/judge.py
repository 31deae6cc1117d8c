"""What a campaign has shown: counts, tables' rows and the verdict. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from .history import Try

HELD, VIOLATED, UNDECIDED = 0, 1, 2
READY_S = 20.0  # within which the system is ready again by itself; an order has been acknowledged by then
COUNTS = {  # as HTTP shows it, and as the files do: what both show is one
    "lost": (("acknowledged but missing",), "lost in file"),
    "duplicated": (("duplicated",), "duplicated in file"),
    "invented": (("never sent but present", "refused but present"), "invented in file"),
    "dangling": (("order with an unknown user or product",), "dangling in file"),
}


@dataclass
class Round:
    """One injection of a fault, or of a pair, and the load's requests from then until all was ready again."""

    faults: list[str]
    proof: list[str] = field(default_factory=list)
    felt: int = 0  # requests that met it: without any it was not under load
    attempted: int = 0  # writes, those in flight when it struck among them
    acknowledged: int = 0
    refused: int = 0
    unknown: int = 0
    p99_ms: float = 0.0
    seconds: float = 0.0  # until all was ready
    ready_s: float | None = None
    grown_mb: float | None = None  # the memory of orders, in an outage of another service
    trouble: list[str] = field(default_factory=list)  # why it proves nothing: verdict 2
    violations: list[str] = field(default_factory=list)  # what must not have been: verdict 1


@dataclass
class Group:
    """Rounds under one run of the load, with its audit at the end."""

    rounds: list[Round]
    attempted: int = 0
    acknowledged: int = 0
    counts: dict[str, int] = field(default_factory=dict)  # every invariant, and what the files show
    flaws: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    directory: str = ""
    audited: bool = False  # to its end: what it has left is known


def count(ended: Iterable[Try], in_flight: Iterable[Try], into: Round) -> None:
    """Add up what a round's requests came to. Tries, not writes: a retry is another request that a fault may meet."""
    times = []
    for tried in ended:
        times.append(tried.ms or 0.0)
        if tried.method != "GET":
            into.attempted += 1
            into.acknowledged += tried.outcome == "ok"
            into.refused += tried.outcome == "refused" and tried.status >= 500
            into.unknown += tried.outcome == "unknown"
    into.attempted += sum(tried.method != "GET" for tried in in_flight)
    if times:
        into.p99_ms = sorted(times)[int(len(times) * 0.99)]


def summed(counts: dict[str, int]) -> dict[str, int]:
    """Lost, duplicated, invented, dangling, and all else."""
    named = {
        name: max(sum(counts.get(key, 0) for key in over_http), counts.get(in_file, 0))
        for name, (over_http, in_file) in COUNTS.items()
    }
    known = {key for over_http, in_file in COUNTS.values() for key in (*over_http, in_file)}
    return named | {"other": sum(number for name, number in counts.items() if name not in known)}


def verdict(groups: Sequence[Group]) -> int:
    """0: all held. 1: something did not. 2: nothing did not, but not everything was shown."""
    rounds = [each for group in groups for each in group.rounds]
    if any(group.violations or any(group.counts.values()) for group in groups) or any(r.violations for r in rounds):
        return VIOLATED
    if not rounds or any(not group.acknowledged or group.flaws or not group.counts for group in groups):
        return UNDECIDED
    shown = all(r.proof and r.felt and r.acknowledged and r.ready_s is not None and not r.trouble for r in rounds)
    return HELD if shown else UNDECIDED


def table(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """A row for each fault. Lost and so on are those of the runs that it was in, which others may share."""
    by_fault: dict[str, list[tuple[Group, Round]]] = defaultdict(list)
    for group in groups:
        for each in group.rounds:
            for fault in each.faults:
                by_fault[fault].append((group, each))
    rows = []
    for fault, seen in sorted(by_fault.items()):
        rounds = [each for _, each in seen]
        in_groups = list({id(group): group for group, _ in seen}.values())
        attempted = sum(each.attempted for each in rounds)
        refused = sum(each.refused for each in rounds)
        unknown = sum(each.unknown for each in rounds)
        ready = [each.ready_s for each in rounds if each.ready_s is not None]
        counts = [summed(group.counts) for group in in_groups]
        rows.append(
            {
                "fault": fault,
                "times": sum(bool(each.proof) for each in rounds),
                "attempted": attempted,
                "acknowledged": sum(each.acknowledged for each in rounds),
                "refused": refused,
                "unknown": unknown,
                **{name: sum(each[name] for each in counts) for name in (*COUNTS, "other")},
                "ready_p50_s": round(median(ready), 1) if ready else None,
                "ready_max_s": round(max(ready), 1) if ready else None,
                "refused_share": round(refused / attempted, 3) if attempted else None,
                "not_served_share": round((refused + unknown) / attempted, 3) if attempted else None,
                "p99_ms": round(median(each.p99_ms for each in rounds)),
            }
        )
    return rows


def totals(groups: Sequence[Group]) -> dict[str, int]:
    """Faults that happened, writes, and the counts of all audits."""
    faults = sum(len(each.faults) for group in groups for each in group.rounds if each.proof)
    found = [summed(group.counts) for group in groups]
    return {
        "faults": faults,
        "attempted": sum(group.attempted for group in groups),
        "acknowledged": sum(group.acknowledged for group in groups),
        **{name: sum(each[name] for each in found) for name in (*COUNTS, "other")},
    }
