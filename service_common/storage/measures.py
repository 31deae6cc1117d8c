"""The metrics of the writer and its queue."""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry

from ..telemetry.measures import NUMBERS, Counter, Gauge, Histogram, Peak


class WriterMetrics:
    """What the writer counts and times, and the longest that its queue has been."""

    def __init__(
        self,
        engine: str,
        limit: int,
        waiting: Callable[[], int],
        writable: Callable[[], bool],
        registry: CollectorRegistry,
    ) -> None:
        """`limit` is the number of writes that may wait."""
        self.longest = Peak()
        self.wait = Histogram("write_queue_wait_seconds", "Time that a write waited for the writer.", registry)
        self.group = Histogram("write_group_jobs", "Writes in one transaction.", registry, NUMBERS)
        self.commit = Histogram("write_commit_seconds", "Time that COMMIT took.", registry)
        self.failed = Counter("write_failed_groups", "Transactions that could not be committed.", registry)
        Gauge("write_queue_jobs", "Writes that wait.", registry, waiting)
        Gauge(
            "write_queue_highest_jobs", "The most writes that waited at once in the last 15 to 30 s.", registry,
            lambda: self.longest.read(time.monotonic()), combine=max,
        )  # fmt: skip
        Gauge("write_queue_limit_jobs", "Writes that may wait.", registry, lambda: limit, combine=max)
        Gauge("storage_writable", "1 if the last write of the database worked.", registry, writable, combine=min)
        Gauge(
            "storage_engine_info", "The engine of the database.", registry, lambda: {(engine,): 1}, ("engine",),
            combine=max,
        )  # fmt: skip
