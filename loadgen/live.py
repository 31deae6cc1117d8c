"""What a terminal shows while a run goes on."""

from collections.abc import Iterable
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .report import ESCAPED
from .run import RunState

BAR_WIDTH = 40
MOST_ERRORS = 5


def view(run: RunState, stats: Any, now: float) -> Group:
    """The run as it stands: phase, progress, writes of each service, latency, what went wrong.

    `stats` are Locust's, `now` is the present rate in writes a second.
    """
    return Group(Text(), _progress(run, now), _services(run), _latency(stats), *_errors(stats))


def _progress(run: RunState, now: float) -> RenderableType:
    line = Table.grid(padding=(0, 2))
    words: list[RenderableType] = [Text(f"{run.phase:<6}", style="bold")]
    if run.phase == "load":
        if run.budget:
            words.append(ProgressBar(total=run.budget, completed=run.taken, width=BAR_WIDTH))
            words.append(f"{run.taken:,} of {run.budget:,} writes")
            if now:
                words.append(f"{(run.budget - run.taken) / now:.0f} s left")
        else:
            words.append(f"{run.taken:,} writes in {run.load_seconds():.0f} s")
        words.append(f"{now:,.0f}/s")
    elif run.phase == "settle":
        words.append(f"{run.unsettled():,} writes whose outcome is not known are sent again")
    elif run.phase == "audit":
        words.append(run.progress.line())
    line.add_row(*words)
    return line


def _services(run: RunState) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("service", "attempted", "acknowledged", "refused", "unknown or in flight"):
        table.add_column(name, justify="left" if name == "service" else "right")
    for name, tally in run.tallies.items():
        unknown = tally.attempted - tally.acknowledged - tally.refused
        table.add_row(name, *(f"{count:,}" for count in (tally.attempted, tally.acknowledged, tally.refused, unknown)))
    return table


def _latency(stats: Any) -> str:
    if not stats.total.num_requests:
        return ""
    p50, p99 = (stats.total.get_response_time_percentile(share) for share in (0.5, 0.99))
    return f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, {stats.total.num_requests:,} requests"


def _errors(stats: Any) -> Iterable[Text]:
    errors = sorted(stats.errors.values(), key=lambda error: -error.occurrences)[:MOST_ERRORS]
    for error in errors:
        words = f"{error.occurrences:,} x {error.name}: {error.error}".translate(ESCAPED)
        yield Text(words, style="yellow", no_wrap=True, overflow="ellipsis")
