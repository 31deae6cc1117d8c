"""What happened when: figures of each second of the load, in memory that does not grow with its length.

A run of hours gets wider slices: when there are too many, each two become one. Response times are counted in classes
that grow by a tenth, so a percentile is at most 5 % off; the maximum is exact.
"""

import math
from array import array
from dataclasses import dataclass, field
from typing import Any

MOST_SLICES = 600  # a chart is not much wider in pixels
CLASSES = 160  # of response times: the last ends at 400 s
GROWTH = 1.1
SHORTEST_MS = 0.1  # the first class ends here
SHORTEST_OUTAGE_S = 0.5  # a connection that was reset is not an outage
MOST_OUTAGES = 200  # that are kept; the longest, should there be more
QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
Packed = dict[str, Any]
_LOG_GROWTH = math.log(GROWTH)


@dataclass(slots=True)
class Slice:
    """What ended in one slice of time."""

    requests: int = 0
    writes: int = 0  # acknowledged
    refused: int = 0  # by an answer that says no
    failed: int = 0  # without an answer, or with one that does not say what became of the request
    longest_ms: float = 0.0
    classes: "array[int]" = field(default_factory=lambda: array("L", bytes(CLASSES * array("L").itemsize)))

    def add(self, milliseconds: float, outcome: str, writes: int) -> None:
        """Count one try that ended."""
        self.requests += 1
        self.writes += writes
        self.refused += outcome == "refused"
        self.failed += outcome == "unknown"
        self.longest_ms = max(self.longest_ms, milliseconds)
        self.classes[class_of(milliseconds)] += 1

    def merge(self, other: "Slice") -> None:
        """Take in what ended in the next slice."""
        self.requests += other.requests
        self.writes += other.writes
        self.refused += other.refused
        self.failed += other.failed
        self.longest_ms = max(self.longest_ms, other.longest_ms)
        for place, count in enumerate(other.classes):
            self.classes[place] += count

    def quantile(self, share: float) -> float | None:
        """The response time that `share` of the requests did not exceed, in milliseconds; None: there was none."""
        rank = math.ceil(share * self.requests)
        for place, count in enumerate(self.classes):
            rank -= count
            if count and rank <= 0:
                middle: float = SHORTEST_MS * GROWTH ** (place - 0.5)
                return min(middle, self.longest_ms)
        return None


@dataclass(slots=True)
class Outage:
    """A time in which every write to a service failed; seconds since the load began."""

    service: str
    begin: float
    end: float
    writes: int
    why: str  # what came of the first


class Timeline:
    """The slices of a load and the outages in it, as the load generator saw them."""

    def __init__(self) -> None:
        self.width_s = 1  # of a slice
        self.slices: list[Slice] = []
        self.outages: list[Outage] = []
        self._failing: dict[str, Outage] = {}

    def add(self, at: float, milliseconds: float, outcome: str, writes: int) -> None:
        """Count a try that ended `at` seconds after the load began, and the writes that it acknowledged."""
        place = max(0, int(at / self.width_s))
        while place >= MOST_SLICES:
            self._halve()
            place = int(at / self.width_s)
        while place >= len(self.slices):
            self.slices.append(Slice())
        self.slices[place].add(milliseconds, outcome, writes)

    def merge(self, columns: Packed, later_s: float) -> None:
        """Take in another load's slices, as `pack` gave them; that load began `later_s` seconds after this one."""
        other = Timeline()
        other.width_s = columns["slice_seconds"]
        for requests, writes, refused, failed, longest_ms, classes in columns["slices"]:
            taken = Slice(requests, writes, refused, failed, longest_ms)
            for place, count in classes:
                taken.classes[place] = count
            other.slices.append(taken)
        while other.width_s < self.width_s:
            other._halve()
        while self.width_s < other.width_s:
            self._halve()
        for place, each in enumerate(other.slices, start=max(0, round(later_s / self.width_s))):
            while place >= len(self.slices):
                self.slices.append(Slice())
            self.slices[place].merge(each)
        while len(self.slices) > MOST_SLICES:
            self._halve()

    def pack(self) -> Packed:
        """The slices as plain lists for `merge`; of the classes those that hold anything."""
        return {
            "slice_seconds": self.width_s,
            "slices": [
                [each.requests, each.writes, each.refused, each.failed, each.longest_ms,
                 [(place, count) for place, count in enumerate(each.classes) if count]]
                for each in self.slices
            ],
        }  # fmt: skip

    def served(self, service: str, at: float) -> None:
        """A service did what it was asked to: an outage, if there was one, is over."""
        if self._failing and (outage := self._failing.pop(service, None)):
            self._keep(outage, at)

    def not_served(self, service: str, began: float, at: float, why: str) -> None:
        """A write, sent when the load was `began` seconds old, got no answer, or one of a service that cannot."""
        outage = self._failing.setdefault(service, Outage(service, began, at, 0, why))
        outage.begin, outage.end = min(outage.begin, began), at
        outage.writes += 1

    def close(self) -> None:
        """The load is over: what fails still is kept."""
        for outage in self._failing.values():
            self._keep(outage, outage.end)
        self._failing.clear()

    def _keep(self, outage: Outage, end: float) -> None:
        outage.end = end
        if outage.end - outage.begin < SHORTEST_OUTAGE_S or outage.writes < 2:
            return
        self.outages.append(outage)
        if len(self.outages) > MOST_OUTAGES:
            self.outages.remove(min(self.outages, key=lambda each: each.end - each.begin))

    def _halve(self) -> None:
        pairs = zip(self.slices[::2], [*self.slices[1::2], Slice()], strict=False)
        merged = []
        for first, second in pairs:
            first.merge(second)
            merged.append(first)
        self.slices = merged
        self.width_s *= 2

    def as_json(self) -> dict[str, Any]:
        """The columns of a table: one number a slice in each list, times in milliseconds, null where nothing ended."""
        columns: dict[str, list[float | None]] = {
            name: [getattr(each, name) for each in self.slices] for name in ("requests", "writes", "refused", "failed")
        }
        for name, share in QUANTILES.items():
            columns[name] = [None if (q := each.quantile(share)) is None else round(q, 2) for each in self.slices]
        columns["max"] = [round(each.longest_ms, 2) if each.requests else None for each in self.slices]
        return {"slice_seconds": self.width_s, **columns}

    def outages_as_json(self) -> list[dict[str, Any]]:
        """The outages by their beginning."""
        return [
            {"service": o.service, "from": round(o.begin, 2), "to": round(o.end, 2), "writes": o.writes, "why": o.why}
            for o in sorted(self.outages, key=lambda each: each.begin)
        ]


def class_of(milliseconds: float) -> int:
    """The number of the class of a response time: each ends a tenth later than the one before."""
    if milliseconds <= SHORTEST_MS:
        return 0
    return min(CLASSES - 1, math.ceil(math.log(milliseconds / SHORTEST_MS) / _LOG_GROWTH))
