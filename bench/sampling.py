"""Repeated and interleaved measurements, their spread, and the progress of a run."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import requests

from .contenders import System
from .tools import wrk

Sample = dict[str, float]
Series = dict[str, list[float]]  # a metric, and its value in each round

ORDER = '{"user_id": 1, "product_id": 1, "quantity": 2}'
USER = '{"name": "Ada", "email": "{n}@example.com"}'
PRODUCT = '{"name": "Tea", "price": "19.99"}'
CONNECTIONS = 64
KNOWN = 0.1  # share of the plan after which a run knows its own pace
USUAL_PACE = 1.3  # seconds for each second of measuring: services start in between
ITEMS = {"users": USER, "products": PRODUCT, "orders": ORDER}


@dataclass(frozen=True)
class Spread:
    """The median and the extremes of repeated values."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of values. Raises ValueError: there are none."""
        if not values:
            raise ValueError("nothing was measured")
        return cls(median(values), min(values), max(values))


def ratios(over: Sequence[float], under: Sequence[float]) -> Spread:
    """Return the ratios of two series, round by round: a disturbance affects both values of its round."""
    return Spread.of([a / b for a, b in zip(over, under, strict=True)])


@dataclass
class Progress:
    """Reports each measurement and the time left, by the plan and the pace so far."""

    planned_s: float
    done_s: float = 0.0
    part: str = ""
    began: float = 0.0
    say: Callable[[str], None] = print

    def begin(self, part: str) -> None:
        """Begin a part: later lines carry its name."""
        self.part = part
        self.began = self.began or time.monotonic()

    def note(self, text: str) -> None:
        """Report a line about the part."""
        self.say(f"[{time.strftime('%H:%M:%S')}] {self.part:12} {text}")

    def did(self, planned_s: float, text: str) -> None:
        """Report that a step is done for which `planned_s` seconds were planned."""
        self.done_s += planned_s
        self.note(f"{text}{self.left()}")

    def left(self) -> str:
        """Return the time left as words."""
        known = self.done_s > KNOWN * self.planned_s
        pace = (time.monotonic() - self.began) / self.done_s if known else USUAL_PACE
        minutes, seconds = divmod(round(max(self.planned_s - self.done_s, 0) * pace), 60)
        return f"  ({minutes}:{seconds:02} left)"


@dataclass(frozen=True)
class Settings:
    """The options of a run. A `short` one only shows that everything works; its figures mean nothing."""

    scratch: Path  # directory for databases, on the disk to be measured
    seconds: float = 5.0  # of each measurement
    rounds: int = 5  # rounds that count
    short: bool = False

    @property
    def warm_ups(self) -> int:
        """The number of rounds before those that count."""
        return 0 if self.short else 1

    def planned(self, targets: int) -> float:
        """Return the seconds that an interleaved measurement of `targets` targets takes."""
        return targets * (self.rounds + self.warm_ups) * self.seconds


def interleaved(
    targets: Mapping[str, Callable[[], Sample]], settings: Settings, progress: Progress
) -> dict[str, Series]:
    """Measure the targets in turn, round after round. Each round begins with another target.

    Return for each target its metrics, each as a list with a value for each round that counts:
    `{"echo": {"rate": [4028.1, 4245.0], "p50_ms": [14.9, 14.5]}}`
    """
    series: dict[str, Series] = {name: {} for name in targets}
    order = list(targets)
    for number in range(settings.warm_ups + settings.rounds):
        counts = number >= settings.warm_ups
        for name in order:
            sample = targets[name]()
            if counts:
                for metric, value in sample.items():
                    series[name].setdefault(metric, []).append(value)
            told = f"round {number - settings.warm_ups + 1}" if counts else "warm-up"
            progress.did(settings.seconds, f"{told:8} {name:26} {sample['rate']:10,.1f}")
        order.append(order.pop(0))
    return series


def load(
    system: System, service: str, item: str, settings: Settings, connections: int = CONNECTIONS, batch_of: int = 0
) -> Callable[[], Sample]:
    """Return a measurement by wrk: create items, one in each request or in batches.

    Its sample has `rate` in items a second, `p50_ms` and `p99_ms` of requests, `requests`, `wrk_share` of a core, and
    `cpu_us.SERVICE`, the microseconds of CPU time that each service of `system` took for a request.
    """
    url = f"{system.collection(service)}{'/batch' if batch_of else ''}"
    body, items = (batch(item, batch_of), batch_of) if batch_of else (item, 1)

    def measure() -> Sample:
        before = system.cpu()
        sample = wrk.post(url, body, connections=connections, seconds=settings.seconds)
        taken = {name: seconds - before[name] for name, seconds in system.cpu().items()}
        system.acknowledged[service] += sample.requests * items
        return {
            "rate": sample.rate * items,
            "p50_ms": sample.p50_ms,
            "p99_ms": sample.p99_ms,
            "requests": sample.requests,
            "wrk_share": sample.own_cpu_s / sample.seconds,
            **{f"cpu_us.{name}": seconds * 1e6 / sample.requests for name, seconds in taken.items()},
        }

    return measure


def batch(item: str, size: int) -> str:
    """Return the body of a batch of `size` items. An e-mail address in them is made unique."""
    items = ", ".join(item.replace("{n}", f"{{n}}-{place}") for place in range(size))
    return f'{{"items": [{items}]}}'


def groups_of(url: str) -> tuple[float, float, float]:
    """Return the transactions of a service so far, their writes, and the seconds of their COMMITs, from /metrics."""
    values: dict[str, Any] = dict.fromkeys(
        ("write_group_jobs_count", "write_group_jobs_sum", "write_commit_seconds_sum")
    )
    for line in requests.get(f"{url}/metrics", timeout=10).text.splitlines():
        name, _, value = line.rpartition(" ")
        if name in values:
            values[name] = float(value)
    if None in values.values():
        raise wrk.Failed(f"{url}/metrics lacks {[name for name, value in values.items() if value is None]}")
    count, jobs, seconds = values.values()
    return count, jobs, seconds
