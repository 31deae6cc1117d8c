"""Progress of an audit: its step, the share of the whole, and the estimated time left."""

import time
from collections.abc import Callable
from typing import Any

# Share of the time that each step takes, measured with 50,000 writes. It moves a bar, so it need not be exact.
SHARES = {
    "reading back": 0.10,
    "loading the ledger": 0.60,
    "loading the rows": 0.13,
    "indexing": 0.09,
    "checking the invariants": 0.08,
}
TOO_EARLY = 0.03  # of the whole: before that, the time left is not estimated


class Progress:
    """Written by the audit, which may run in its own thread; read by the terminal and the page."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began: float | None = None
        self._now: tuple[str, int, int | None] | None = None  # one assignment: a reader sees all of it or nothing

    def at(self, step: str, done: int = 0, of: int | None = None) -> None:
        """Note that the audit is in `step`, one of SHARES, and has done so many of so many lines, rows or queries."""
        if self._began is None:
            self._began = self._clock()
        self._now = step, done, of

    def state(self) -> dict[str, Any] | None:
        """Return the progress; None before it begins. `share` is from 0 to 1, `seconds_left` None while too early."""
        if self._now is None or self._began is None:
            return None
        step, done, of = self._now
        share = 0.0
        for name, part in SHARES.items():
            if name == step:
                share += part * min(done / of, 1.0) if of else 0.0
                break
            share += part
        seconds = self._clock() - self._began
        left = seconds / share * (1 - share) if share >= TOO_EARLY else None
        return {
            "step": step,
            "done": done,
            "of": of,
            "share": round(share, 3),
            "seconds": round(seconds, 1),
            "seconds_left": None if left is None else round(left),
        }

    def line(self) -> str:
        """Return the progress in words; empty before it begins."""
        state = self.state()
        if state is None:
            return ""
        counted = f" {state['done']:,}" + ("" if state["of"] is None else f" of {state['of']:,}")
        left = "" if state["seconds_left"] is None else f", about {state['seconds_left']:,} s left"
        return f"{state['share']:.0%}, {state['step']}{counted}{left}"
