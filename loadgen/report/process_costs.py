"""CPU time and memory of the load generator and of the services, and restarts of the services.

The services' figures come from their /metrics, where they have them (Linux). A service that does not answer is
asked again later. Unknown figures are left out of the report, never guessed.
"""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event

from ..settings import SERVICES, Settings
from ..traffic.sender import Http

EVERY_S = 2.0  # between two samples; one costs a service about a millisecond
NAMES = ("process_start_time_seconds", "process_cpu_seconds_total", "process_resident_memory_bytes")
SAME_START_S = 0.5  # two readings of one start may differ by a clock tick
MOST_RESTARTS = 200  # that are listed


class ServiceProcess:
    """The process of one service, over its restarts."""

    def __init__(self) -> None:
        self.cpu_s = 0.0  # since the first sample
        self.samples = 0
        self.peak_rss = 0.0  # bytes, of those seen
        self._started: float | None = None
        self._cpu = 0.0

    def sample(self, started: float, cpu: float, rss: float) -> bool:
        """Take in one sample; return True if the process is another one than at the last sample."""
        restarted = self._started is not None and abs(started - self._started) > SAME_START_S
        # The CPU time of an ended process since its last sample is lost: it can no longer be asked.
        self.cpu_s += cpu if restarted else cpu - (self._cpu if self._started is not None else cpu)
        self._started, self._cpu = started, cpu
        self.samples += 1
        self.peak_rss = max(self.peak_rss, rss)
        return restarted


class ProcessCosts:
    """Samples all processes from the beginning of the load to its end."""

    def __init__(self, settings: Settings, services: Iterable[str] = SERVICES) -> None:
        self._http = {name: Http(settings.urls[name], settings.token, connections=1) for name in services}
        self._services = {name: ServiceProcess() for name in self._http}
        self._began = time.monotonic()
        self._cpu_began = self._cpu_ended = time.process_time()
        self._over = Event()
        self.restarts: list[dict[str, Any]] = []
        self._sampling = gevent.spawn(self._keep_sampling)

    def _keep_sampling(self) -> None:
        try:
            while not self._over.is_set():
                self._sample()
                self._over.wait(EVERY_S)
            self._sample()
        finally:
            for http in self._http.values():
                http.close()

    def _sample(self) -> None:
        gevent.joinall([gevent.spawn(self._ask, name) for name in self._services])

    def _ask(self, name: str) -> None:
        try:
            status, _, content = self._http[name].request("GET", "/metrics")
            figures = values(content.decode()) if status == 200 else {}
        except Exception:  # no answer of any kind: the next sample may get one
            return
        if not all(figures.get(each) is not None for each in NAMES):
            return
        if self._services[name].sample(*(figures[each] for each in NAMES)) and len(self.restarts) < MOST_RESTARTS:
            self.restarts.append({"service": name, "at": round(time.monotonic() - self._began, 2)})

    def load_ended(self) -> None:
        """End the load: read the CPU time of the load generator at once, that of the services in the background."""
        self._cpu_ended = time.process_time()
        self._over.set()

    def as_json(self, requests: Mapping[str, int], seconds: float) -> list[dict[str, Any]]:
        """Return the costs of each process in a load of `seconds`, in which `requests` went to each service.

        The load generator's requests are those to all services. Blocks until the last sample has been taken.
        """
        self._sampling.join()
        found = [_cost("loadgen", self._cpu_ended - self._cpu_began, sum(requests.values()), seconds, peak_rss())]
        for name, service in self._services.items():
            if service.samples > 1:
                found.append(_cost(name, service.cpu_s, requests.get(name, 0), seconds, service.peak_rss))
        return found


def _cost(name: str, cpu_s: float, requests: int, seconds: float, rss: float | None) -> dict[str, Any]:
    return {
        "process": name,
        "requests": requests,
        "cpu_seconds": round(cpu_s, 2),
        "cpu_us_per_request": round(cpu_s / requests * 1e6, 1) if requests else None,
        "share_of_a_core": round(cpu_s / seconds, 3) if seconds else None,
        "rss_mb": round(rss / 1e6, 1) if rss else None,
    }


def values(text: str) -> dict[str, float]:
    """Return those of NAMES that a page in Prometheus' text format holds; skip values that are not numbers."""
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name in NAMES:
            try:
                found[name] = float(value)
            except ValueError:
                continue
    return found


def peak_rss() -> float | None:
    """Return the most memory that this process ever held, in bytes; None where there is no /proc."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((float(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
