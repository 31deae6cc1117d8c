"""Wait for a condition, never for a time."""

import time
from collections.abc import Callable
from typing import Any

START_S = 30.0  # seconds that a service may take to start
POLL_S = 0.02  # seconds between two looks at a condition


class TimedOut(AssertionError):
    """A condition did not come true in time."""


def wait_until(condition: Callable[[], Any], timeout: float = START_S, what: str = "the condition") -> Any:
    """Poll `condition` until it returns something true, and return that. `timeout` is in seconds.

    Raises:
        TimedOut: it did not come true in time; the message names `what`.
    """
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise TimedOut(f"{what}: not within {timeout:g} s")
        time.sleep(POLL_S)
    return result
