"""Settling: every write whose fate is unknown is sent again, with its own key, until it is known."""

import gevent
from gevent.pool import Pool

from .sender import Sender

SETTLE_TIMEOUT_S = 60.0  # a service that restarts is back long before
CONCURRENCY = 16  # few: what fails under load is asked again without it
FIRST_PAUSE_S = 0.2  # between rounds; doubles up to LONGEST_PAUSE_S
LONGEST_PAUSE_S = 3.0


def settle(sender: Sender) -> int:
    """Send every open write of the workload again, round after round; return how many writes are still unknown.

    A 503 after an unknown try says nothing about that try, so it does not settle. A PATCH has no key: it is sent
    again with the version it named, and after a 412 its own first try may have been made.
    """
    workload = sender.workload
    pool = Pool(CONCURRENCY)
    pause = FIRST_PAUSE_S
    try:
        with gevent.Timeout(SETTLE_TIMEOUT_S, False):
            while workload.open and not workload.ledger.broken:
                for op in list(workload.open.values()):
                    pool.spawn(sender.send, op, "settle")
                pool.join()
                if workload.open:
                    gevent.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE_S)
    finally:
        pool.kill()
    return sum(op.size for op in workload.open.values())
