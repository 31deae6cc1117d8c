"""The schedule of an open load: requests at a steady rate, however slow the answers are.

A closed load waits for an answer before it sends more: a service that stalls gets fewer requests, and those that
would have met the stall are missing from the percentiles (coordinated omission). Here each request has a
scheduled moment, and its response time counts from that moment.
"""

import time

from gevent.event import Event


class Arrivals:
    """The scheduled moments of requests, `rate` of them a second; each is given out once."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.latest = 0.0  # seconds by which the load generator itself was too late, at most
        self.stopped = Event()
        self._began = time.perf_counter()
        self._given = 0

    def wait(self) -> float | None:
        """Wait for the next scheduled moment and return it, of time.perf_counter(). None: the load has ended.

        Where all virtual users are busy, that moment has passed when one asks: the request is late, not dropped.
        """
        scheduled = self._began + self._given / self.rate
        self._given += 1
        early = scheduled - time.perf_counter()
        if self.stopped.wait(timeout=max(0.0, early)):
            return None
        if early > 0:  # only the load generator itself can be late here
            self.latest = max(self.latest, time.perf_counter() - scheduled)
        return scheduled

    def extra(self) -> None:
        """Count a request that follows another of the same action at once: it takes the place of a scheduled one."""
        self._given += 1
