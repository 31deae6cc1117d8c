"""Settling: products is told how attempts ended. It rides on rounds that reserve; what waits for none goes alone."""

import logging
import time

import gevent

from ..upstream.attempts import Attempts
from ..upstream.client import Remote, Unanswered
from ..upstream.reservations import MOST, Reservations

ALONE_AFTER_S = 0.02  # seconds that a settlement waits for a round
PAUSE_S = 0.2  # seconds after a failure

log = logging.getLogger("stock")


class Settler:
    """Sends settlements that no round takes."""

    def __init__(self, attempts: Attempts, reservations: Reservations, remote: Remote) -> None:
        self._attempts = attempts
        self._reservations = reservations
        self._remote = remote

    def run(self) -> None:
        """Send what waits, for as long as the process lives."""
        while True:
            self._attempts.settlement_due.wait()
            gevent.sleep(ALONE_AFTER_S)
            if self._attempts.are_waiting(ALONE_AFTER_S, MOST):
                try:
                    self._reservations.settle(self._remote)
                except Unanswered:  # which the client has logged
                    gevent.sleep(PAUSE_S)
                except Exception:  # a defect here must not end it
                    log.exception("settling broke")
                    gevent.sleep(PAUSE_S)

    def drain(self, seconds: float) -> bool:
        """Wait until nothing is left to be settled, for at most some seconds. Return False if something is."""
        deadline = time.monotonic() + seconds
        while not self._attempts.all_settled() and time.monotonic() < deadline:
            gevent.sleep(ALONE_AFTER_S)
        return self._attempts.all_settled()
