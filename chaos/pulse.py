"""When writes of a load were acknowledged, and for how long none was."""

import itertools
import threading
import time
from pathlib import Path

EVERY_S = 0.02


class Pulse:
    """Watches a growing ledger. It looks for words only, so it keeps up with any load."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        self._times: list[float] = [time.monotonic()]
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        with self._ledger.open("rb") as file:
            file.seek(0, 2)
            while not self._ending.wait(EVERY_S):
                if b'"status":201' in file.read():
                    self._times.append(time.monotonic())

    def longest_gap(self, since: float) -> float:
        """Return the longest time without an acknowledged creation, from `since` (monotonic) until now, in seconds."""
        times = [since, *(each for each in self._times if each > since), time.monotonic()]
        return max(later - earlier for earlier, later in itertools.pairwise(times))

    def end(self) -> None:
        """Stop watching."""
        self._ending.set()
        self._thread.join()
