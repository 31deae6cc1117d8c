"""Open load: requests are due at a steady rate, whatever the answers do.

A closed load waits for an answer before it sends more: a service that stalls is then asked less, and the
requests that would have met the stall are missing from the percentiles (coordinated omission). Here each
request has a moment when it is due, and its response time counts from that moment.
"""

import time

from gevent.event import Event


class Arrivals:
    """The moments at which requests are due, `rate` of them a second; each is given once."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.latest = 0.0  # seconds by which the load generator itself was too late, at most
        self.stopped = Event()
        self._began = time.perf_counter()
        self._given = 0

    def wait(self) -> float | None:
        """Wait until the next request is due; that moment, of time.perf_counter(). None: the load has ended.

        Where all shoppers are busy it has passed when one asks for it: the request is late, not dropped.
        """
        due = self._began + self._given / self.rate
        self._given += 1
        early = due - time.perf_counter()
        if self.stopped.wait(timeout=max(0.0, early)):
            return None
        if early > 0:  # nobody but the load generator can be at fault
            self.latest = max(self.latest, time.perf_counter() - due)
        return due

    def extra(self) -> None:
        """Count a request that follows another of the same action at once: the next one is due later for it."""
        self._given += 1
