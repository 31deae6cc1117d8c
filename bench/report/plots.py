"""Plots as SVG of a few kilobytes. They load nothing, and are readable on light and dark pages. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from loadgen.report.charts import Axis, linear

from ..sampling import Spread

WIDTH = 720
MARGIN = 20
HEAD = 76  # height of title and subtitle
FOOT = 44  # height of the labels of an axis
LABELS = 205  # width of the labels of bars
VALUES = 130  # width of the figures behind bars
BAR, PITCH = 22, 36  # height of a bar, and from one to the next
PLOT_HEIGHT = 240
INSET = 36  # distance of the first point from the axis, so that its figure does not cover the axis's
STYLE = """
svg { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
.card { fill: #ffffff; stroke: #d0d7de; }
text { fill: #1f2328; }
.title { font-size: 16px; font-weight: 600; }
.faint { fill: #57606a; }
.value { stroke: #ffffff; stroke-width: 4; paint-order: stroke; }
.grid { stroke: #d8dee4; stroke-width: 1; }
.range { stroke: #1f2328; stroke-width: 1.5; fill: none; }
.ours { fill: #2f6fde; } .peer { fill: #9aa4af; } .limit { fill: #d9a33c; }
.line { fill: none; stroke: #2f6fde; stroke-width: 2.5; stroke-linejoin: round; }
.band { fill: #2f6fde; opacity: .18; }
@media (prefers-color-scheme: dark) {
  .card { fill: #0d1117; stroke: #30363d; }
  text { fill: #e6edf3; } .faint { fill: #9198a1; } .value { stroke: #0d1117; }
  .grid { stroke: #30363d; } .range { stroke: #e6edf3; }
  .ours { fill: #5a94f2; } .peer { fill: #7d8590; } .limit { fill: #c9972f; }
  .line { stroke: #5a94f2; } .band { fill: #5a94f2; opacity: .25; }
}
"""


@dataclass(frozen=True)
class Bar:
    """A bar; `style` is `ours`, `peer` or `limit`."""

    label: str
    spread: Spread
    style: str = "ours"


def number(value: float) -> str:
    """Return a number with three significant digits and marked thousands."""
    size = abs(value)
    return (
        f"{value:,.0f}"
        if size >= 100
        else f"{value:.1f}"
        if size >= 10
        else f"{value:.2f}"
        if size >= 0.1 or not size
        else f"{value:.3f}"
    )


def ticks_of(axis: Axis) -> list[str]:
    """Return the labels of an axis, all with the same number of decimals."""
    decimals = 0 if all(tick == int(tick) for tick in axis.ticks) else 1 if axis.top >= 1 else 2
    return [f"{tick:,.{decimals}f}" for tick in axis.ticks]


def text(x: float, y: float, words: str, style: str = "", anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def drawing(height: float, title: str, what: str, content: Sequence[str]) -> str:
    """Return a whole SVG file: a card with a title and a subtitle `what`."""
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="card" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1:g}" rx="8"/>',
        text(MARGIN, 30, title, "title"),
        text(MARGIN, 50, what, "faint"),
        *content,
        "</svg>",
        "",
    ])  # fmt: skip


def bars(title: str, what: str, shown: Sequence[Bar]) -> str:
    """Draw horizontal bars, each with its median and a line from its lowest to its highest value."""
    axis = linear(bar.spread.highest for bar in shown)
    left, width = MARGIN + LABELS, WIDTH - 2 * MARGIN - LABELS - VALUES
    bottom = HEAD + PITCH * len(shown)
    content = []
    for tick, words in zip(axis.ticks, ticks_of(axis), strict=True):
        x = left + axis.share(tick) * width
        content.append(f'<path class="grid" d="M{x:.1f} {HEAD}V{bottom}"/>')
        content.append(text(x, bottom + 20, words, "faint", "middle"))
    for place, bar in enumerate(shown):
        top = HEAD + place * PITCH + (PITCH - BAR) / 2
        middle = top + BAR / 2
        low, mid, high = (
            left + axis.share(value) * width for value in (bar.spread.lowest, bar.spread.median, bar.spread.highest)
        )
        content += [
            text(left - 10, middle + 4.5, bar.label, anchor="end"),
            f'<rect class="{bar.style}" x="{left}" y="{top:g}" width="{max(mid - left, 1):.1f}" height="{BAR}" rx="2"/>',
            f'<path class="range" d="M{low:.1f} {middle - 4:g}v8m0 -4H{high:.1f}m0 -4v8"/>',
            text(max(high, mid) + 10, middle + 4.5, number(bar.spread.median)),
        ]
    return drawing(bottom + FOOT - 10, title, what, content)


def sweep(title: str, what: str, along: str, points: Sequence[tuple[str, Spread]]) -> str:
    """Draw a line through the medians, with a band from the lowest to the highest. Steps of `along` are evenly spaced."""
    axis = linear(spread.highest for _, spread in points)
    left, right = MARGIN + 60, WIDTH - MARGIN - 30
    bottom = HEAD + PLOT_HEIGHT
    first, last = left + INSET, right - INSET / 2
    step = (last - first) / max(len(points) - 1, 1)

    def at(place: int, value: float) -> str:
        return f"{first + place * step:.1f} {bottom - axis.share(value) * PLOT_HEIGHT:.1f}"

    content = []
    for tick, words in zip(axis.ticks, ticks_of(axis), strict=True):
        y = bottom - axis.share(tick) * PLOT_HEIGHT
        content.append(f'<path class="grid" d="M{left} {y:.1f}H{right}"/>')
        content.append(text(left - 8, y + 4.5, words, "faint", "end"))
    upper = [at(place, spread.highest) for place, (_, spread) in enumerate(points)]
    lower = [at(place, spread.lowest) for place, (_, spread) in enumerate(points)]
    content.append(f'<path class="band" d="M{"L".join([*upper, *reversed(lower)])}Z"/>')
    content.append(
        f'<path class="line" d="M{"L".join(at(place, spread.median) for place, (_, spread) in enumerate(points))}"/>'
    )
    for place, (label, spread) in enumerate(points):
        x, y = first + place * step, bottom - axis.share(spread.median) * PLOT_HEIGHT
        above = bottom - axis.share(spread.highest) * PLOT_HEIGHT
        content.append(f'<circle class="ours" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
        content.append(text(x, above - 9, number(spread.median), "value", "middle"))
        content.append(text(x, bottom + 20, label, "faint", "middle"))
    content.append(text((left + right) / 2, bottom + 42, along, "faint", "middle"))
    return drawing(bottom + FOOT + 14, title, what, content)
