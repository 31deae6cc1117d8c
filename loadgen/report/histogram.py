"""Counts of response times in classes that grow by a constant factor, so memory does not grow with the load."""

import math
from array import array
from collections.abc import Iterable

SHORTEST_MS = 0.1  # the first class ends here
LONGEST_MS = 400_000.0  # the last class begins about here
Pairs = list[tuple[int, int]]  # the number of a class and its count


class Scale:
    """Classes that each end `growth` times later than the one before."""

    def __init__(self, growth: float) -> None:
        self.growth = growth
        self._log = math.log(growth)
        self.classes = math.ceil(math.log(LONGEST_MS / SHORTEST_MS) / self._log) + 1

    def place(self, milliseconds: float) -> int:
        """Return the number of the class that a response time belongs to."""
        if milliseconds <= SHORTEST_MS:
            return 0
        return min(self.classes - 1, math.ceil(math.log(milliseconds / SHORTEST_MS) / self._log))

    def middle(self, place: int) -> float:
        """Return the middle of a class, in milliseconds."""
        return float(SHORTEST_MS * self.growth ** (place - 0.5))


COARSE = Scale(1.1)  # percentiles are at most 5 % off: for the many slices of a timeline
FINE = Scale(1.02)  # at most 1 % off: for the totals of each action


class Histogram:
    """Response times by class; the maximum is exact."""

    __slots__ = ("_counts", "count", "longest_ms", "scale")

    def __init__(self, scale: Scale) -> None:
        self.scale = scale
        self.count = 0
        self.longest_ms = 0.0
        self._counts = array("L", bytes(scale.classes * array("L").itemsize))

    def add(self, milliseconds: float) -> None:
        """Count one response time."""
        self.count += 1
        self.longest_ms = max(self.longest_ms, milliseconds)
        self._counts[self.scale.place(milliseconds)] += 1

    def merge(self, other: "Histogram") -> None:
        """Add the counts of another histogram of the same scale."""
        self.take(other.pairs(), other.longest_ms)

    def take(self, pairs: Iterable[tuple[int, int]], longest_ms: float) -> None:
        """Add counts by class, as `pairs` gave them."""
        for place, count in pairs:
            self._counts[place] += count
            self.count += count
        self.longest_ms = max(self.longest_ms, longest_ms)

    def pairs(self) -> Pairs:
        """Return the classes that hold anything."""
        return [(place, count) for place, count in enumerate(self._counts) if count]

    def quantile(self, share: float) -> float | None:
        """Return the milliseconds that `share` of the response times do not exceed; None: there are none."""
        rank = math.ceil(share * self.count)
        for place, count in enumerate(self._counts):
            rank -= count
            if count and rank <= 0:
                return min(self.scale.middle(place), self.longest_ms)
        return None
