"""gevent's event loop, on which all greenlets of a process take turns."""

import gevent

YIELD_S = 1e-6  # not 0: a sleep of 0 ends before the loop has looked at connections and deadlines


def let_others_run() -> None:
    """Go on only when the loop has served what has arrived on other connections, and what is due."""
    gevent.sleep(YIELD_S)
