"""The metrics of all worker processes of a service as one, whichever of them is asked.

Each process leaves its metrics in a file, once a second and when it ends, and an answer adds the files up. So no
answer is behind an earlier one, and counters never run backwards. A process that starts takes over the counts of one
that has ended; what that one held is gone.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

import gevent
from gevent.lock import RLock
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from .measures import combined_by

EVERY_S = 1.0  # seconds between two writes of a process

# By the name of a metric: its text, its type, and its samples, each a name, labels and a value.
# {"write_queue_jobs": ["Writes that wait.", "gauge", [["write_queue_jobs", {}, 3.0]]]}
Families = dict[str, tuple[str, str, list[tuple[str, dict[str, str], float]]]]


class Metrics:
    """The metrics of a service: those of this process, and, once they are shared, of its siblings."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._directory: Path | None = None
        self._writing = RLock()  # a metric may wait for the database

    def share(self, directory: Path) -> None:
        """Add up the metrics of all processes that share `directory`."""
        for place in count():
            self._lock = os.open(directory / f"{place}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until the process ends
                break
            except BlockingIOError:
                os.close(self._lock)
        self._file = directory / f"{place}.json"
        self._inherited = load(self._file, is_alive=False)
        self._directory = directory
        self.write()
        gevent.spawn(self._write_often)

    def write(self) -> None:
        """Write down the metrics of this process, if others have to know them."""
        if self._directory is not None:
            with self._writing:
                draft = self._file.with_suffix(".new")
                draft.write_text(json.dumps(combine([self._inherited, plain(self._registry.collect())])))
                draft.replace(self._file)

    def _write_often(self) -> None:
        while True:
            gevent.sleep(EVERY_S)
            if self._directory is not None and len(list(self._directory.glob("*.lock"))) > 1:
                self.write()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, as a registry does."""
        if self._directory is None:
            yield from self._registry.collect()
            return
        self.write()
        files = sorted(self._directory.glob("*.json"))
        for name, (text, type, samples) in combine(load(file, is_locked(file)) for file in files).items():
            metric = Metric(name, text, type)
            for sample in samples:
                metric.add_sample(*sample)
            yield metric


def plain(metrics: Iterable[Metric]) -> Families:
    """Return metrics as plain values."""
    return {
        each.name: (each.documentation, each.type, [(one.name, dict(one.labels), one.value) for one in each.samples])
        for each in metrics
    }


def load(file: Path, is_alive: bool) -> Families:
    """Return the metrics in a file; of a process that has ended, only what it counted."""
    families: Families = json.loads(file.read_text()) if file.exists() else {}
    return {name: family for name, family in families.items() if is_alive or family[1] != "gauge"}


def is_locked(file: Path) -> bool:
    """Return whether the process that writes a file lives."""
    with file.with_suffix(".lock").open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def combine(processes: Iterable[Families]) -> Families:
    """Return the metrics of several processes as one."""
    found: dict[str, tuple[str, str, dict[str, tuple[str, dict[str, str], list[float]]]]] = {}
    for families in processes:
        for name, (text, type, samples) in families.items():
            values = found.setdefault(name, (text, type, {}))[2]
            for sample, labels, value in samples:
                key = f"{sample}{sorted(labels.items())}"
                values.setdefault(key, (sample, labels, []))[2].append(value)
    return {
        name: (
            text, type,
            [(sample, labels, combined_by.get(name, sum)(each)) for sample, labels, each in values.values()],
        )
        for name, (text, type, values) in found.items()
    }  # fmt: skip
