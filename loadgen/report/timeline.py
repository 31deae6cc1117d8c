"""Figures of each second of the load, and outages, in memory that does not grow with its length.

A run of hours gets wider slices: when there are too many, each two become one.
"""

from dataclasses import dataclass, field
from typing import Any

from .histogram import COARSE, Histogram

MOST_SLICES = 600  # a chart is not much wider in pixels
SHORTEST_OUTAGE_S = 0.5  # a connection that was reset is not an outage
MOST_OUTAGES = 200  # that are kept; the longest, if there are more
QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
Packed = dict[str, Any]


@dataclass(slots=True)
class Slice:
    """The tries that ended in one slice of time."""

    writes: int = 0  # acknowledged
    refused: int = 0
    failed: int = 0  # without an answer, or with one that leaves the outcome open
    times: Histogram = field(default_factory=lambda: Histogram(COARSE))

    @property
    def requests(self) -> int:
        return self.times.count

    def add(self, milliseconds: float, outcome: str, writes: int) -> None:
        """Count one try that ended."""
        self.writes += writes
        self.refused += outcome == "refused"
        self.failed += outcome == "unknown"
        self.times.add(milliseconds)

    def merge(self, other: "Slice") -> None:
        """Add the figures of another slice."""
        self.writes += other.writes
        self.refused += other.refused
        self.failed += other.failed
        self.times.merge(other.times)


@dataclass(slots=True)
class Outage:
    """A time in which every write to a service failed; seconds since the load began."""

    service: str
    begin: float
    end: float
    writes: int
    why: str  # the failure of the first

    def lasts(self) -> bool:
        """Return True if this is more than a connection that was reset."""
        return self.end - self.begin >= SHORTEST_OUTAGE_S and self.writes >= 2


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

    def merge(self, packed: Packed, later_s: float) -> None:
        """Add another load's slices, as `pack` returned them; that load began `later_s` seconds after this one."""
        other = Timeline()
        other.width_s = packed["slice_seconds"]
        for writes, refused, failed, longest_ms, pairs in packed["slices"]:
            each = Slice(writes, refused, failed)
            each.times.take(pairs, longest_ms)
            other.slices.append(each)
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

    def pack(self, since: int = 0) -> Packed:
        """Return the slices from number `since` on as plain lists, for `merge` and `replace`."""
        return {
            "slice_seconds": self.width_s,
            "from": since,
            "slices": [
                [each.writes, each.refused, each.failed, each.times.longest_ms, each.times.pairs()]
                for each in self.slices[since:]
            ],
        }

    def replace(self, packed: Packed) -> None:
        """Take in newer counts of the same load's slices, as `pack` returned them."""
        while self.width_s < packed["slice_seconds"]:
            self._halve()
        for place, (writes, refused, failed, longest_ms, pairs) in enumerate(packed["slices"], start=packed["from"]):
            while place >= len(self.slices):
                self.slices.append(Slice())
            self.slices[place] = each = Slice(writes, refused, failed)
            each.times.take(pairs, longest_ms)

    def served(self, service: str, at: float) -> None:
        """Note that a service served a write: if there was an outage, it is over."""
        if self._failing and (outage := self._failing.pop(service, None)):
            self._keep(outage, at)

    def not_served(self, service: str, began: float, at: float, why: str) -> None:
        """Note a write that failed: it was sent `began` seconds after the load began, and ended at `at`."""
        outage = self._failing.setdefault(service, Outage(service, began, at, 0, why))
        outage.begin, outage.end = min(outage.begin, began), at
        outage.writes += 1

    def close(self) -> None:
        """End the load: keep the outages that still go on."""
        for outage in self._failing.values():
            self._keep(outage, outage.end)
        self._failing.clear()

    def _keep(self, outage: Outage, end: float) -> None:
        outage.end = end
        if not outage.lasts():
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

    def as_json(self, since: int = 0) -> dict[str, Any]:
        """Return columns: one number a slice in each list, times in milliseconds, null where nothing ended.

        The first is that of slice number `since`.
        """
        slices = self.slices[since:]
        columns: dict[str, list[float | None]] = {
            name: [getattr(each, name) for each in slices] for name in ("requests", "writes", "refused", "failed")
        }
        for name, share in QUANTILES.items():
            columns[name] = [None if (q := each.times.quantile(share)) is None else round(q, 2) for each in slices]
        columns["max"] = [round(each.times.longest_ms, 2) if each.requests else None for each in slices]
        return {"slice_seconds": self.width_s, **columns}

    def outages_as_json(self) -> list[dict[str, Any]]:
        """Return the outages by their beginning; those that go on, up to the last failed write."""
        going_on = [each for each in self._failing.values() if each.lasts()]
        return [
            {"service": o.service, "from": round(o.begin, 2), "to": round(o.end, 2), "writes": o.writes, "why": o.why}
            for o in sorted([*self.outages, *going_on], key=lambda each: each.begin)
        ]
