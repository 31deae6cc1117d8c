"""Line charts over time as SVG: pure functions, a few kilobytes each, nothing to load.

The drawing is stretched to the available width; the words around it are HTML, so that they stay readable on a
phone. Colours are classes of `report.css`, which has a light, a dark and a print style.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 1000, 200  # units of the drawing
TIME_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
MOST_TIMES = 6  # on the axis of time
LEAST_MARK = 2  # units: the least width of a fault

Values = Sequence[float | None]


@dataclass(frozen=True)
class Series:
    """A line; None in `values` is a gap. `style` is a class of the style sheet."""

    name: str
    style: str
    values: Values


@dataclass(frozen=True)
class Mark:
    """A fault, drawn behind the lines; a restart has no length."""

    text: str
    begin: float  # seconds
    end: float

    @property
    def style(self) -> str:
        return "outage" if self.end > self.begin else "restart"


@dataclass(frozen=True)
class Axis:
    """The scale of the heights, up to `top`, with labels at `ticks`; a `bottom` above 0 makes it logarithmic."""

    bottom: float
    top: float
    ticks: Sequence[float]

    def share(self, value: float) -> float:
        """Return the height of a value, from 0 to 1."""
        if not self.bottom:
            return min(value / self.top, 1.0)
        span = math.log(self.top / self.bottom)
        return min(max(math.log(max(value, self.bottom) / self.bottom) / span, 0.0), 1.0)


def linear(values: Iterable[float | None]) -> Axis:
    """Return an axis from 0 to a round number, in three to five steps."""
    largest = max((value for value in values if value is not None), default=0.0) or 1.0
    rough = largest / 4
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough)
    count = math.ceil(largest / step)
    return Axis(0.0, step * count, [step * place for place in range(count + 1)])


def logarithmic(values: Iterable[float | None]) -> Axis:
    """Return an axis from one power of ten to another."""
    known = [value for value in values if value]
    low = math.floor(math.log10(min(known, default=1.0)))
    high = max(math.ceil(math.log10(max(known, default=10.0))), low + 1)
    return Axis(10.0**low, 10.0**high, [10.0**power for power in range(low, high + 1)])


def chart(
    title: str, series: Sequence[Series], axis: Axis, slice_s: float, seconds: float, marks: Sequence[Mark]
) -> Markup:
    """Return a figure with a legend, axes and lines.

    Args:
        title: the quantity, with its unit.
        series: the lines; each value is that of one slice of time.
        axis: the heights.
        slice_s: the length of a slice, in seconds.
        seconds: the length of the whole.
        marks: the faults behind the lines.
    """
    whole = max(seconds, 0.001)
    legend = Markup("").join(Markup('<span class="key {}">{}</span>').format(each.style, each.name) for each in series)
    heights = Markup("").join(
        Markup('<span class="y" style="bottom:{:.2f}%">{}</span>').format(axis.share(tick) * 100, number(tick))
        for tick in axis.ticks
    )
    times = Markup("").join(
        Markup('<span class="x" style="left:{:.2f}%">{}</span>').format(tick / whole * 100, clock(tick))
        for tick in times_of(whole)
    )
    grid = Markup("").join(
        Markup('<path class="grid" d="M0 {0:.1f}H{1}"/>').format((1 - axis.share(tick)) * HEIGHT, WIDTH)
        for tick in axis.ticks
    )
    faults = Markup("").join(_mark(mark, whole) for mark in marks)
    lines = Markup("").join(
        Markup('<path class="line {}" d="{}"/>').format(each.style, path(each.values, axis, slice_s, whole))
        for each in series
    )
    return Markup(
        '<figure><figcaption><b>{}</b> {}</figcaption><div class="plot">'
        '<svg viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}{}{}</svg>{}{}</div></figure>'
    ).format(title, legend, WIDTH, HEIGHT, title, grid, faults, lines, heights, times)


def path(values: Values, axis: Axis, slice_s: float, seconds: float) -> str:
    """Return the line through the middles of the slices, interrupted by gaps."""
    words: list[str] = []
    pen = False
    for place, value in enumerate(values):
        if value is None:
            pen = False
            continue
        middle = (place * slice_s + min((place + 1) * slice_s, seconds)) / 2
        x, y = middle / seconds * WIDTH, (1 - axis.share(value)) * HEIGHT
        alone = not pen and (place + 1 == len(values) or values[place + 1] is None)
        words.append(f"{'L' if pen else 'M'}{x:.1f} {y:.1f}{'h0' if alone else ''}")  # h0: a dot
        pen = True
    return "".join(words)


def _mark(mark: Mark, seconds: float) -> Markup:
    begin = min(max(mark.begin / seconds, 0.0), 1.0) * WIDTH
    width = max(min(mark.end / seconds, 1.0) * WIDTH - begin, LEAST_MARK)
    return Markup('<rect class="{}" x="{:.1f}" y="0" width="{:.1f}" height="{}"><title>{}</title></rect>').format(
        mark.style, min(begin, WIDTH - LEAST_MARK), width, HEIGHT, mark.text
    )


def times_of(seconds: float) -> Iterator[int]:
    """Yield round times from 0 on, at most as many as fit."""
    step = next((each for each in TIME_STEPS_S if seconds / each <= MOST_TIMES), math.ceil(seconds / MOST_TIMES))
    yield from range(0, math.floor(seconds) + 1, step)


def clock(seconds: int) -> str:
    """Return a time such as 45 s, 2:30 or 1:02:30."""
    if seconds < 60:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def number(value: float) -> str:
    """Return a number with thousands separators, and only the decimals that it has."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.3f}".rstrip("0")
