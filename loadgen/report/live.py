"""The live view of a run on a terminal."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..traffic.workload import Tally
from .console import ESCAPED

BAR_WIDTH = 40
MOST_ERRORS = 5


@dataclass(frozen=True)
class Moment:
    """A run as it stands at one moment."""

    phase: str
    limit: int | None  # writes that the load may make; None: any number
    taken: int  # of these
    rate: float  # writes a second, of the last seconds
    load_seconds: float
    tallies: Mapping[str, Tally]  # by service
    audit: str  # the progress of the audit, in words
    latency: str  # response times, in words
    errors: Sequence[tuple[int, str]]  # how often, and what


def view(moment: Moment) -> Group:
    """Return the phase, the progress, the writes of each service, response times and errors of a run."""
    return Group(Text(), _progress(moment), _services(moment), moment.latency, *_errors(moment))


def _progress(moment: Moment) -> RenderableType:
    line = Table.grid(padding=(0, 2))
    words: list[RenderableType] = [Text(f"{moment.phase:<6}", style="bold")]
    if moment.phase == "load":
        if moment.limit:
            words.append(ProgressBar(total=moment.limit, completed=moment.taken, width=BAR_WIDTH))
            words.append(f"{moment.taken:,} of {moment.limit:,} writes")
            if moment.rate:
                words.append(f"{(moment.limit - moment.taken) / moment.rate:.0f} s left")
        else:
            words.append(f"{moment.taken:,} writes in {moment.load_seconds:.0f} s")
        words.append(f"{moment.rate:,.0f}/s")
    elif moment.phase == "settle":
        left = sum(tally.in_flight + tally.unanswered for tally in moment.tallies.values())
        words.append(f"sending {left:,} writes without an answer again")
    elif moment.phase == "audit":
        words.append(moment.audit)
    line.add_row(*words)
    return line


def _services(moment: Moment) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("service", "attempted", "acknowledged", "refused", "in flight", "no answer"):
        table.add_column(name, justify="left" if name == "service" else "right")
    for name, tally in moment.tallies.items():
        counts = (tally.attempted, tally.acknowledged, tally.refused, tally.in_flight, tally.unanswered)
        table.add_row(name, *(f"{count:,}" for count in counts))
    return table


def _errors(moment: Moment) -> Iterable[Text]:
    for times, what in moment.errors[:MOST_ERRORS]:
        yield Text(f"{times:,} x {what}".translate(ESCAPED), style="yellow", no_wrap=True, overflow="ellipsis")
