"""Counters, gauges and histograms in plain numbers, for Prometheus.

All requests are served on one thread, and the client library's own metrics lock at each count.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

Labels = tuple[str, ...]  # the values of a metric's labels
Combine = Callable[[Iterable[float]], float]

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)  # bounds of the buckets
NUMBERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
WINDOW_S = 15.0  # a peak is remembered for one to two windows: longer than the pause between two scrapes

# How the gauges of several processes become one; where nothing is said here, they are added up.
combined_by: dict[str, Combine] = {"process_start_time_seconds": min}


class Counter(Collector):
    """Counts, by the values of its labels."""

    def __init__(self, name: str, text: str, registry: CollectorRegistry | None, labels: Labels = ()) -> None:
        """Without a `registry` it must be registered later."""
        self._named = name, text, labels
        self.counts: dict[Labels, float] = {} if labels else {(): 0}
        if registry is not None:
            registry.register(self)

    def add(self, *labels: str, count: float = 1) -> None:
        """Count something."""
        self.counts[labels] = self.counts.get(labels, 0) + count

    def collect(self) -> Iterator[Metric]:
        name, text, labels = self._named
        family = CounterMetricFamily(name, text, labels=labels)
        for values, count in self.counts.items():
            family.add_metric(values, count)
        yield family


class Gauge(Collector):
    """A value that is read when somebody asks; with labels, several by the labels' values."""

    def __init__(
        self,
        name: str,
        text: str,
        registry: CollectorRegistry,
        read: Callable[[], float | Mapping[Labels, float]],
        labels: Labels = (),
        combine: Combine = sum,
    ) -> None:
        """`combine` makes one value of those of several processes."""
        self._named = name, text, labels
        self._read = read
        if combine is not sum:
            combined_by[name] = combine
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        name, text, labels = self._named
        family = GaugeMetricFamily(name, text, labels=labels)
        found = self._read()
        for values, value in found.items() if isinstance(found, Mapping) else (((), found),):
            family.add_metric(values, value)
        yield family


class Tally:
    """The observations of a histogram: how many fell into each bucket, and their sum."""

    __slots__ = ("bounds", "buckets", "sum")

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        self.bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)  # not yet cumulative
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self.buckets[bisect_left(self.bounds, value)] += 1
        self.sum += value


def add_tallies(
    family: HistogramMetricFamily, labels: Labels, tallies: Sequence[Tally], exemplars: Mapping[int, Exemplar] = {}
) -> None:
    """Add to `family` the sum of `tallies`, which have the same bounds, and exemplars by the number of their bucket."""
    bounds = [*map(str, map(float, tallies[0].bounds)), "+Inf"]
    counts = accumulate(map(sum, zip(*(tally.buckets for tally in tallies), strict=True)))
    buckets: list[Any] = [(*pair, exemplars.get(place)) for place, pair in enumerate(zip(bounds, counts, strict=True))]
    family.add_metric(labels, buckets, sum(tally.sum for tally in tallies))


class Histogram(Collector):
    """Observations in buckets, by the values of its labels."""

    def __init__(
        self,
        name: str,
        text: str,
        registry: CollectorRegistry,
        bounds: tuple[float, ...] = SECONDS,
        labels: Labels = (),
    ) -> None:
        self._named = name, text, labels
        self._bounds = bounds
        self._tallies: dict[Labels, Tally] = {}
        if not labels:
            self.observe = self.labelled().observe
        registry.register(self)

    def labelled(self, *labels: str) -> Tally:
        """Return the observations with these values of the labels."""
        return self._tallies.setdefault(labels, Tally(self._bounds))

    def collect(self) -> Iterator[Metric]:
        name, text, labels = self._named
        family = HistogramMetricFamily(name, text, labels=labels)
        for values, tally in self._tallies.items():
            add_tallies(family, values, [tally])
        yield family


class Peak:
    """The highest value of the last 15 to 30 seconds: what a scrape would miss between two looks."""

    def __init__(self) -> None:
        self._began = 0.0  # monotonic; of the current window
        self._highest = self._before = 0.0  # in this window, and in the one before

    def note(self, value: float, now: float) -> None:
        """Note a value; `now` is monotonic."""
        if now - self._began >= WINDOW_S:
            self._before = self._highest if now - self._began < 2 * WINDOW_S else 0.0
            self._began, self._highest = now, 0.0
        if value > self._highest:
            self._highest = value

    def read(self, now: float) -> float:
        """Return the highest value."""
        self.note(0.0, now)
        return max(self._highest, self._before)
