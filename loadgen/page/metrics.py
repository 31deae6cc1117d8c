"""The figures of a service, from two readings of its /metrics. Pure: it opens no connection."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LINE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
PROBES = ("/metrics", "/livez", "/readyz")  # routes that are asked to watch a service, and not to use it
QUANTILE = 0.99
WANTED = frozenset((
    "http_requests_total", "http_request_duration_seconds_bucket", "write_group_jobs_sum", "write_group_jobs_count",
    "write_queue_jobs", "process_resident_memory_bytes", "process_cpu_seconds_total", "process_start_time_seconds",
    "lookup_attempts_total", "lookup_round_requests_sum", "lookup_round_requests_count", "lookup_circuit_open",
    "storage_engine_info", "storage_writable", "service_draining",
))  # fmt: skip

Labels = Mapping[str, str]
Wanted = Callable[[Labels], bool]


@dataclass(frozen=True)
class Reading:
    """The metrics of a service at one moment: by name, each value with its labels."""

    at: float  # seconds of any clock
    samples: Mapping[str, list[tuple[dict[str, str], float]]]

    def values(self, name: str, wanted: Wanted = lambda labels: True) -> Iterator[float]:
        """Yield the values of a metric whose labels are wanted."""
        return (value for labels, value in self.samples.get(name, ()) if wanted(labels))

    def total(self, name: str, wanted: Wanted = lambda labels: True) -> float | None:
        """Return the sum of these values; None: there are none."""
        found = list(self.values(name, wanted))
        return sum(found) if found else None


def read(text: str, at: float) -> Reading:
    """Read a page in Prometheus' text format; skip what is not wanted, and lines that are none."""
    samples: dict[str, list[tuple[dict[str, str], float]]] = {}
    for line in text.splitlines():
        match = LINE.match(line)
        if match is None or match[1] not in WANTED:
            continue
        try:
            labels, value = dict(LABEL.findall(match[2] or "")), float(match[3])
            if "le" in labels:
                float(labels["le"])
        except ValueError:
            continue
        samples.setdefault(match[1], []).append((labels, value))
    return Reading(at, samples)


def together(readings: Sequence[Reading]) -> Reading:
    """Return the readings of all replicas as one."""
    names = {name for reading in readings for name in reading.samples}
    samples = {name: [one for reading in readings for one in reading.samples.get(name, ())] for name in names}
    return Reading(max(reading.at for reading in readings), samples)


def restarted(before: Reading, now: Reading) -> bool:
    """Return True if the two readings are of two processes; one start may be read as two clock ticks."""
    starts = [reading.total("process_start_time_seconds") for reading in (before, now)]
    return None not in starts and abs((starts[0] or 0) - (starts[1] or 0)) > 0.5


def figures(before: Reading | None, now: Reading) -> dict[str, Any]:
    """Return the figures of a service; what needs two readings is None where there is one, or a restart between."""
    if before is not None and (now.at <= before.at or restarted(before, now)):
        before = None
    memory = now.total("process_resident_memory_bytes")
    writable = list(now.values("storage_writable"))
    return {
        "rate": rate(before, now, "http_requests_total", used),
        "failed": rate(before, now, "http_requests_total", lambda of: used(of) and of.get("status", "") >= "500"),
        "p99_ms": slowest(before, now),
        "commits": rate(before, now, "write_group_jobs_count"),
        "writes_per_commit": per(before, now, "write_group_jobs"),
        "queue": now.total("write_queue_jobs"),
        "memory_mb": None if memory is None else round(memory / 1e6, 1),
        "cpu": rate(before, now, "process_cpu_seconds_total"),
        "engine": next((of["engine"] for of, _ in now.samples.get("storage_engine_info", ()) if "engine" in of), None),
        "writable": all(writable) if writable else None,
    }


def links(before: Reading | None, now: Reading, names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return the look-ups that a service makes at each of the services `names`; empty: it makes none."""
    if not {"lookup_attempts_total", "lookup_round_requests_count"} & now.samples.keys():
        return {}
    if before is not None and (now.at <= before.at or restarted(before, now)):
        before = None
    each = per(before, now, "lookup_round_requests")
    found = {}
    for name in names:
        of: Wanted = lambda labels, name=name: labels.get("dependency") == name  # type: ignore[misc]  # noqa: E731
        is_open = now.total("lookup_circuit_open", of)
        found[name] = {
            "lookups": rate(before, now, "lookup_attempts_total", of),
            "failed": rate(before, now, "lookup_attempts_total", lambda l, of=of: of(l) and l.get("outcome") != "ok"),  # type: ignore[misc]  # noqa: E741
            "orders_each": each,
            "circuit": None if is_open is None else "open" if is_open else "closed",
        }
    return found


def used(labels: Labels) -> bool:
    """Return True for a request that somebody made to use the service."""
    return labels.get("route") not in PROBES


def rate(before: Reading | None, now: Reading, name: str, wanted: Wanted = lambda labels: True) -> float | None:
    """Return by how much a counter grew in a second."""
    grown = growth(before, now, name, wanted)
    return None if grown is None or before is None else round(grown / (now.at - before.at), 2)


def growth(before: Reading | None, now: Reading, name: str, wanted: Wanted = lambda labels: True) -> float | None:
    """Return by how much a counter grew. One that was not there before was 0."""
    if before is None:
        return None
    return max((now.total(name, wanted) or 0.0) - (before.total(name, wanted) or 0.0), 0.0)


def per(before: Reading | None, now: Reading, name: str) -> float | None:
    """Return the mean of what a histogram observed between two readings; None: nothing."""
    count, total = growth(before, now, f"{name}_count"), growth(before, now, f"{name}_sum")
    return round(total / count, 1) if count and total is not None else None


def slowest(before: Reading | None, now: Reading) -> float | None:
    """Return the milliseconds that 99 % of the requests between two readings did not exceed; None: there were none.

    The requests of one bucket count as spread evenly over it. Above the last bound, it is that bound.
    """
    if before is None:
        return None
    grown: dict[float, float] = {}
    for sign, reading in ((1, now), (-1, before)):
        for labels, value in reading.samples.get("http_request_duration_seconds_bucket", ()):
            if used(labels) and "le" in labels:
                bound = float(labels["le"])
                grown[bound] = grown.get(bound, 0.0) + sign * value
    bounds = sorted(grown)
    if not bounds or grown[bounds[-1]] <= 0:
        return None
    wanted, below, low = QUANTILE * grown[bounds[-1]], 0.0, 0.0
    for bound in bounds:
        if grown[bound] >= wanted:
            if bound == float("inf"):
                break
            share = (wanted - below) / (grown[bound] - below) if grown[bound] > below else 1.0
            return round((low + (bound - low) * share) * 1000, 1)
        below, low = grown[bound], bound
    return round(low * 1000, 1)
