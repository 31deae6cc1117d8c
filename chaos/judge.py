"""The judgement of a campaign: counts, rows of its table, and the verdict. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from .history import Try

HELD, VIOLATED, UNDECIDED = 0, 1, 2
READY_S = 20.0  # seconds within which the system is ready again and has acknowledged an order
COUNTS = {  # by HTTP, and by the files: a finding of both counts once
    "lost": (("acknowledged but missing",), "lost in file"),
    "duplicated": (("duplicated",), "duplicated in file"),
    "invented": (("never sent but present", "refused but present"), "invented in file"),
    "dangling": (("order with an unknown user or product",), "dangling in file"),
    "oversold": (("oversold",), "oversold in file"),
    "units_lost": (("units lost or invented",), "units lost in file"),
    "stuck": (("still reserved",), "reserved in file"),
}


@dataclass
class Round:
    """One injection of a fault or a pair, with the requests of the load from then until everything was ready again."""

    faults: list[str]
    proof: list[str] = field(default_factory=list)
    felt: int = 0  # requests that met it; without any, the fault was not under load
    attempted: int = 0  # writes, including those in flight at the injection
    acknowledged: int = 0
    refused: int = 0
    unknown: int = 0
    failed: int = 0  # requests of any kind, reads too, that got no answer or a 5xx
    gap_s: float = 0.0  # the longest time in which no creation was acknowledged
    p99_ms: float = 0.0
    seconds: float = 0.0  # until everything was ready
    ready_s: float | None = None
    grown_mb: float | None = None  # growth of orders' memory in an outage of another service
    trouble: list[str] = field(default_factory=list)  # reasons for verdict 2
    violations: list[str] = field(default_factory=list)  # reasons for verdict 1


@dataclass
class Group:
    """Rounds in one run of the load, which is audited at its end."""

    rounds: list[Round]
    attempted: int = 0
    acknowledged: int = 0
    counts: dict[str, int] = field(default_factory=dict)  # violations of each invariant, over HTTP and in the files
    flaws: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    directory: str = ""
    audited: bool = False  # to the end, so that its leftovers are known


def count(ended: Iterable[Try], in_flight: Iterable[Try], into: Round) -> None:
    """Add the requests of a round to its counts. It counts tries, not writes: a fault may meet each retry."""
    times = []
    for tried in ended:
        times.append(tried.ms or 0.0)
        into.failed += tried.outcome in ("refused", "unknown") and (tried.status >= 500 or not tried.status)
        if tried.method != "GET":
            into.attempted += 1
            into.acknowledged += tried.outcome == "ok"
            into.refused += tried.outcome == "refused" and tried.status >= 500
            into.unknown += tried.outcome == "unknown"
    into.attempted += sum(tried.method != "GET" for tried in in_flight)
    if times:
        into.p99_ms = sorted(times)[int(len(times) * 0.99)]


def summed(counts: dict[str, int]) -> dict[str, int]:
    """Return how often each of COUNTS was found, and how often anything else was wrong (`other`)."""
    named = {
        name: max(sum(counts.get(key, 0) for key in over_http), counts.get(in_file, 0))
        for name, (over_http, in_file) in COUNTS.items()
    }
    known = {key for over_http, in_file in COUNTS.values() for key in (*over_http, in_file)}
    return named | {"other": sum(number for name, number in counts.items() if name not in known)}


def verdict(groups: Sequence[Group]) -> int:
    """Return 0: everything held; 1: something did not; 2: no violation was found, but not everything was shown."""
    rounds = [each for group in groups for each in group.rounds]
    if any(group.violations or any(group.counts.values()) for group in groups) or any(r.violations for r in rounds):
        return VIOLATED
    if not rounds or any(not group.acknowledged or group.flaws or not group.counts for group in groups):
        return UNDECIDED
    shown = all(r.proof and r.felt and r.acknowledged and r.ready_s is not None and not r.trouble for r in rounds)
    return HELD if shown else UNDECIDED


def table(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Return a row for each fault. `lost` and so on are those of the whole runs it was in, which faults share."""
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
                "failed": sum(each.failed for each in rounds),
                "gap_p50_s": round(median(each.gap_s for each in rounds), 1),
                "gap_max_s": round(max(each.gap_s for each in rounds), 1),
                "p99_ms": round(median(each.p99_ms for each in rounds)),
            }
        )
    return rows


def totals(groups: Sequence[Group]) -> dict[str, int]:
    """Return the number of faults and writes, and the counts of all audits."""
    faults = sum(len(each.faults) for group in groups for each in group.rounds if each.proof)
    found = [summed(group.counts) for group in groups]
    return {
        "faults": faults,
        "attempted": sum(group.attempted for group in groups),
        "acknowledged": sum(group.acknowledged for group in groups),
        **{name: sum(each[name] for each in found) for name in (*COUNTS, "other")},
    }
