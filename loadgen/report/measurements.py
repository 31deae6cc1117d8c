"""Throughput, response times and failures of a load.

Counted here from every request, and not taken from Locust's statistics: users can reset those in the middle of a run.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ..settings import SERVICES
from .histogram import FINE, Histogram
from .timeline import QUANTILES, Timeline

MOST_FAILURES = 100  # different texts that are kept; the rest is one
OTHER_FAILURES = "other failures"


@dataclass(frozen=True)
class Latency:
    """Response times of one action over one method, in milliseconds."""

    action: str
    method: str
    requests: int
    failures: int
    p50: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True)
class Measured:
    """The figures of a whole load."""

    seconds: float
    writes: int  # of the load; the sample data is not counted
    requests: int
    latencies: list[Latency]
    failures: list[tuple[str, int]]  # the failure in words, and how often it happened
    rate: float | None = None  # scheduled requests a second of an open load; None: a closed load
    late_ms: float | None = None  # by which the load generator itself was too late in an open load, at most

    @property
    def writes_per_second(self) -> float:
        """0 where the load never began."""
        return self.writes / self.seconds if self.seconds else 0.0

    @property
    def requests_per_second(self) -> float:
        """0 where the load never began."""
        return self.requests / self.seconds if self.seconds else 0.0

    @property
    def share_of_rate(self) -> float | None:
        """The share of an open load's rate that was reached."""
        return self.requests_per_second / self.rate if self.rate else None


@dataclass(slots=True)
class ActionTimes:
    """The requests of one action over one method."""

    failures: int = 0
    times: Histogram = field(default_factory=lambda: Histogram(FINE))


class Measurements:
    """Counts the requests of a load as they end."""

    def __init__(self) -> None:
        self.timeline = Timeline()
        self.requests = dict.fromkeys(SERVICES, 0)
        self._actions: dict[tuple[str, str], ActionTimes] = {}
        self._failures = Counter[str]()

    def add(self, service: str, action: str, method: str, milliseconds: float, failure: str | None) -> None:
        """Count one request; `failure` says in words what was wrong with its answer."""
        self.requests[service] += 1
        times = self._actions.get((action, method))
        if times is None:
            times = self._actions[action, method] = ActionTimes()
        times.times.add(milliseconds)
        if failure is not None:
            times.failures += 1
            self._fail(failure, 1)

    def _fail(self, failure: str, times: int) -> None:
        known = failure in self._failures or len(self._failures) < MOST_FAILURES
        self._failures[failure if known else OTHER_FAILURES] += times

    def latencies(self) -> list[Latency]:
        """Return the response times of each action, by its name."""
        return [
            Latency(
                action,
                method,
                each.times.count,
                each.failures,
                **{name: round(each.times.quantile(share) or 0.0, 2) for name, share in QUANTILES.items()},
                max=round(each.times.longest_ms, 2),
            )
            for (action, method), each in sorted(self._actions.items())
        ]

    def failures(self) -> list[tuple[str, int]]:
        """Return the failures, the most frequent first."""
        return self._failures.most_common()

    def pack(self) -> dict[str, Any]:
        """Return the counts as plain lists for `merge`."""
        return {
            "requests": self.requests,
            "actions": [
                [action, method, each.failures, each.times.longest_ms, each.times.pairs()]
                for (action, method), each in self._actions.items()
            ],
            "failures": list(self._failures.items()),
            "timeline": self.timeline.pack(),
        }

    def merge(self, packed: dict[str, Any], later_s: float = 0.0) -> None:
        """Add the counts of another load, as `pack` returned them; it began `later_s` seconds after this one."""
        for service, count in packed["requests"].items():
            self.requests[service] += count
        for action, method, failures, longest_ms, pairs in packed["actions"]:
            each = self._actions.setdefault((action, method), ActionTimes())
            each.failures += failures
            each.times.take(pairs, longest_ms)
        for failure, times in packed["failures"]:
            self._fail(failure, times)
        self.timeline.merge(packed["timeline"], later_s)
