"""The terminal while a run goes on: a live view, or a line every few seconds where the output is not a terminal."""
# mypy: allow-untyped-calls

import sys
from typing import Any

import gevent
from rich.console import Console
from rich.live import Live

from ..report.live import Moment, view
from .state import RunState

LINE_EVERY_S = 5.0
VIEW_EVERY_S = 0.5
SMOOTHING = 0.7  # weight of the earlier rates in the rate that is shown


class Display:
    """Shows one run at a time."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._greenlet: gevent.Greenlet | None = None

    def say(self, line: str) -> None:
        """Print a line at once."""
        self.console.print(line, soft_wrap=True)
        sys.stdout.flush()

    def follow(self, run: RunState, stats: Any) -> None:
        """Show a run from now on until it is done; `stats` are Locust's, of which a user sees the latest."""
        terminal = self.console.is_terminal and not self.console.is_dumb_terminal
        self._greenlet = gevent.spawn(self._view, run, stats) if terminal else gevent.spawn(self._lines, run)

    def close(self) -> None:
        """Show the run no longer, and restore the terminal."""
        if self._greenlet:
            self._greenlet.kill()

    def _view(self, run: RunState, stats: Any) -> None:
        before, rate = 0, 0.0
        with Live(console=self.console, auto_refresh=False, transient=True) as shown:
            while not run.done.wait(timeout=VIEW_EVERY_S):
                taken = run.budget.taken
                rate, before = SMOOTHING * rate + (1 - SMOOTHING) * (taken - before) / VIEW_EVERY_S, taken
                shown.update(view(moment(run, stats, rate)), refresh=True)

    def _lines(self, run: RunState) -> None:
        before = 0
        while not run.done.wait(timeout=LINE_EVERY_S):
            self.say(line(run, (run.budget.taken - before) / LINE_EVERY_S))
            before = run.budget.taken


def moment(run: RunState, stats: Any, rate: float) -> Moment:
    """Return the state of a run for the live view; `rate` is in writes a second."""
    latency = ""
    if requests := stats.total.num_requests:
        p50, p99 = (stats.total.get_response_time_percentile(share) for share in (0.5, 0.99))
        latency = f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, {requests:,} requests"
    errors = sorted(stats.errors.values(), key=lambda error: -error.occurrences)
    return Moment(
        run.phase,
        run.budget.limit,
        run.budget.taken,
        rate,
        run.load_seconds(),
        run.tallies(),
        run.progress.line(),
        latency,
        [(error.occurrences, f"{error.name}: {error.error}") for error in errors],
    )


def line(run: RunState, rate: float) -> str:
    """Return the state of a run in one line; `rate` is in writes a second."""
    said = f"{run.phase:<7} "
    if run.phase == "load":
        of = "" if run.budget.limit is None else f" of {run.budget.limit:,}"
        said += f"{run.budget.taken:>8,}{of} writes, {rate:,.0f}/s; "
    elif run.phase == "audit":
        said += f"{run.progress.line()}; "
    tallies = run.tallies().values()
    counts = {
        "acknowledged": sum(tally.acknowledged for tally in tallies),
        "refused": sum(tally.refused for tally in tallies),
        "in flight": sum(tally.in_flight for tally in tallies),
        "without an answer": sum(tally.unanswered for tally in tallies),
    }
    always = ("acknowledged", "refused")
    return said + ", ".join(f"{name} {count:,}" for name, count in counts.items() if count or name in always)
