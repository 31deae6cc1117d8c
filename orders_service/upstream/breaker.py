"""A circuit breaker: a service that fails repeatedly is not asked for a moment."""

import random
import time


class Breaker:
    """Closed until `failures` in a row; then open for about `cooldown` seconds; then one attempt decides."""

    def __init__(self, failures: int, cooldown: float) -> None:
        self._limit = failures
        self._cooldown = cooldown
        self._failures = 0
        self._open_until = 0.0

    def is_open(self) -> bool:
        """Return True while no attempt may be made."""
        return time.monotonic() < self._open_until

    def succeeded(self) -> None:
        """Count a success: the failures before it no longer count."""
        self._failures = 0

    def failed(self) -> bool:
        """Count a failure, and return whether it opens the circuit. From the limit on, each does."""
        self._failures += 1
        if self._failures < self._limit:
            return False
        self._open_until = time.monotonic() + self._cooldown * random.uniform(0.75, 1.25)
        return True
