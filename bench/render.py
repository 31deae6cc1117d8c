"""results.md and its plots, from the JSON alone."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .goals import GOALS, Goal
from .parts.slow_disk import CONTENDERS as SLOW_DISKS
from .parts.writers import KINDS
from .plots import Bar, bars, number, sweep
from .sampling import Series, Spread, ratios

Json = Mapping[str, Any]
Figures = Mapping[str, Any]
NOT_MEASURED = "not measured"
SMOKE = "smoke run: no verdict"
QUIET = 0.05  # share of the machine that others may take; above it, figures are marked

READ = """
## How to read this

- Every contender runs on the same machine, on loopback, one process a service, with the same load tool beside it. On
  few cores the services and the load tool share them, so a rate depends on the CPU time of all that it takes. Ratios
  hold on other machines better than rates do.
- A figure is the median of its rounds; behind it stand the lowest and the highest. Targets are measured in turn, each
  round begins with another one, and a first round does not count. A ratio is taken within each round: what disturbs a
  round disturbs both.
- The load is closed (wrk: a connection waits for its answer), except where it says open (oha: requests are due at a
  constant rate, and a response time counts from the moment a request was due).
- An answer that is not a 2xx, a batch with an item refused, or fewer rows in the database than were acknowledged makes
  a measurement fail: it is not counted as a fast one.
- Peers have the same durability: a write-ahead log, `synchronous=FULL`, and the answer after the sync; the syncs are
  counted from outside before the run. This project's services write an access log, keep idempotency keys, validate, and
  answer with problem details; the peers do not.
- "Others" is the share of the machine's CPU time that went to programs that have nothing to do with the run. Where it is more
  than 5 %, the machine was not quiet: repeat the part.
"""


def text(content: Json, plots: Iterable[str] = ()) -> str:
    """The whole of results.md; `plots` are the names of those that were drawn."""
    parts = content["parts"]
    lines = ["# What `make bench` measured", ""]
    lines += [*warnings(parts), *goals_table(parts), "", "## When and where", "", *provenance(parts)]
    for name, (title, details) in DETAILS.items():
        lines += ["", f"## {title}", ""]
        figures = figures_of(parts, name)
        if figures is None:
            lines.append(why_not(parts, name))
            continue
        if name in plots:
            lines += [f"![{title}]({name}.svg)", ""]
        lines += details(figures)
    return "\n".join(lines) + "\n" + READ


def figures_of(parts: Json, name: str) -> Figures | None:
    """What a part measured; None where it did not."""
    figures: Figures | None = parts.get(name, {}).get("figures")
    return figures


def why_not(parts: Json, name: str) -> str:
    failed = parts.get(name, {}).get("failed")
    return f"Not measured: {failed}" if failed else "Not measured."


def warnings(parts: Json) -> list[str]:
    """What a reader must know before the figures."""
    found = []
    measured = {name: part["measured"] for name, part in parts.items() if "figures" in part}
    if any(each["options"]["short"] for each in measured.values()):
        found.append("**A smoke run: it shows that everything works. Its figures say nothing.**")
    if len({each["commit"] for each in measured.values()}) > 1 or len(machines(parts)) > 1:
        found.append("**Not one run: parts were measured at different commits or on different machines, see below.**")
    noisy = [name for name, each in measured.items() if each["others"] is not None and each["others"] > QUIET]
    if noisy:
        found.append(
            f"**The machine was not quiet during {', '.join(noisy)}: other programs took part of it, see below.**"
        )
    return [line for each in found for line in (each, "")]


def goals_table(parts: Json) -> list[str]:
    """Each goal, what was measured, and whether that reaches it."""
    rows = [goal_row(goal, parts) for goal in GOALS]
    reached = sum(row[-1] == "yes" for row in rows)
    return [*table(("figure", "goal", "measured", "reached"), rows), "", f"{reached} of {len(rows)} reached."]


def goal_row(goal: Goal, parts: Json) -> tuple[str, str, str, str]:
    asked = f"{goal.kind} {goal.target:g}{goal.unit}"
    figures = figures_of(parts, goal.part)
    if figures is None:
        return goal.what, asked, "–", NOT_MEASURED
    value = goal.value(figures)
    measured = f"{with_range(value.spread, goal.unit)}{f', {value.of}' if value.of else ''}"
    if parts[goal.part]["measured"]["options"]["short"]:
        return goal.what, asked, measured, SMOKE
    return goal.what, asked, measured, "yes" if goal.reached(value) else "**no**"


def machines(parts: Json) -> list[Json]:
    """The different machines, as far as a reader would tell them apart; the time of a sync varies on one."""
    found: list[Json] = []
    for part in parts.values():
        machine = {name: value for name, value in part["measured"]["machine"].items() if name != "sync_ms"}
        if machine not in found:
            found.append(machine)
    return found


def provenance(parts: Json) -> list[str]:
    """When each part was measured, of which commit, and on which machine."""
    known = machines(parts)
    lines = []
    for number_, each in enumerate(known, start=1):
        lines.append(
            f"Machine {number_}: {each['cores']} cores ({each['cpu']}), {each['memory_gb']:g} GB, {each['kernel']}, Python"
            f" {each['python']}, SQLite {each['sqlite']} (apsw), databases on {each['file_system']}."
        )
        lines.append("")
    rows = []
    for name in DETAILS:
        if (part := parts.get(name)) is None:
            rows.append((name, *["–"] * 7))
            continue
        measured, options = part["measured"], part["measured"]["options"]
        machine = {key: value for key, value in measured["machine"].items() if key != "sync_ms"}
        others = "–" if measured["others"] is None else f"{measured['others']:.0%}"
        rows.append((
            name, measured["at"], measured["commit"], str(known.index(machine) + 1),
            f"{options['rounds']} x {options['seconds']:g} s", f"{measured['seconds']:.0f} s",
            others, f"{measured['machine']['sync_ms']:.2f} ms",
        ))  # fmt: skip
    header = ("part", "at", "commit", "machine", "rounds", "took", "others", "a sync")
    return lines + table(header, rows)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    return ["| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows)]


def spread(series: Series, metric: str = "rate") -> Spread:
    return Spread.of(series[metric])


def with_range(values: Spread, unit: str = "") -> str:
    """As 16.6 (15.1 to 17.2)."""
    if values.lowest == values.highest:
        return f"{number(values.median)}{unit}"
    return f"{number(values.median)}{unit} ({number(values.lowest)} to {number(values.highest)})"


def peers(figures: Figures) -> list[str]:
    series = figures["series"]
    names = ("tutorial orders", "fastapi orders", "threefold orders", "threefold users", "echo")
    lines = table(
        ("", "a second", "p50 ms", "p99 ms", "wrk, of a core"),
        [(name, *(with_range(spread(series[name], metric)) for metric in ("rate", "p50_ms", "p99_ms")),
          f"{spread(series[name], 'wrk_share').median:.0%}") for name in names],
    )  # fmt: skip
    services = sorted({metric for each in series.values() for metric in each if metric.startswith("cpu_us.")})
    rows = []
    for name in names:
        taken = {metric: spread(series[name], metric).median for metric in services if metric in series[name]}
        own = series[name]["wrk_share"], series[name]["rate"]
        tool = Spread.of([share * 1e6 / rate for share, rate in zip(*own, strict=True)]).median
        cells = [number(taken[metric]) if metric in taken else "–" for metric in services]
        rows.append((name, *cells, number(sum(taken.values())), number(tool)))
    header = ("CPU µs a request", *(metric.removeprefix("cpu_us.") for metric in services), "all", "and wrk")
    lines += ["", *table(header, rows), "", "Seen from outside before the run: "]
    lines += [f"- {name}: {seen}" for name, seen in figures["durability"].items()]
    return lines


def sqlite(figures: Figures) -> list[str]:
    rows = [(group, with_range(spread(series))) for group, series in figures["series"].items()]
    return table(("rows in a transaction", "rows a second"), rows)


def bulk(figures: Figures) -> list[str]:
    series, rows = figures["series"], []
    for name in ("users", "products", "orders"):
        alone = series[f"sqlite {name}"]
        share = ratios(series[name]["rate"], alone["rate"])
        rows.append((name, with_range(spread(series[name])), with_range(spread(alone)), with_range(share),
                     with_range(spread(series[name], "p50_ms"))))  # fmt: skip
    return table(("1000 rows a request", "rows a second", "SQLite alone", "ratio", "p50 ms of a request"), rows)


def open_load(figures: Figures) -> list[str]:
    opened, closed = figures["series"]["open"], figures["series"]["closed"]
    rows = [
        (
            f"closed, {number(spread(closed).median)}/s",
            *(with_range(spread(closed, m)) for m in ("p50_ms", "p99_ms")),
            "–",
        ),
        (
            f"open, {number(figures['due_rate'])}/s",
            *(with_range(spread(opened, m)) for m in ("p50_ms", "p99_ms", "highest_ms")),
        ),
    ]
    return table(("orders", "p50 ms", "p99 ms", "highest ms"), rows)


def memory(figures: Figures) -> list[str]:
    before, after = figures["before_mb"], figures["after_mb"]
    rows = [(name, number(before[name]), number(after[name])) for name in after]
    rows.append(("all", number(sum(before.values())), number(sum(after.values()))))
    return table(("MB (PSS of all processes)", "before", f"after {figures['orders']:,} orders"), rows)


def rows(figures: Figures) -> list[str]:
    series = figures["series"]
    empty = series["0"]["rate"]
    return table(
        ("rows there", "file MB", "orders a second", "against empty", "p50 ms", "p99 ms"),
        [(f"{int(size):,}", number(figures["file_mb"][size]), with_range(spread(each)),
          with_range(ratios(each["rate"], empty)), *(with_range(spread(each, metric)) for metric in ("p50_ms", "p99_ms")))
         for size, each in series.items()],
    )  # fmt: skip


def connections(figures: Figures) -> list[str]:
    return table(
        ("connections", "orders a second", "p50 ms", "p99 ms", "wrk, of a core"),
        [(level, *(with_range(spread(each, metric)) for metric in ("rate", "p50_ms", "p99_ms")),
          f"{spread(each, 'wrk_share').median:.0%}") for level, each in figures["series"].items()],
    )  # fmt: skip


def batches(figures: Figures) -> list[str]:
    return table(
        ("orders in a batch", "orders a second", "p50 ms of a request"),
        [(size, with_range(spread(each)), with_range(spread(each, "p50_ms"))) for size, each in figures["series"].items()],
    )  # fmt: skip


def slow_disk(figures: Figures) -> list[str]:
    series = figures["series"]
    lines = table(
        ("a sync takes", "orders a second", "p50 ms", "p99 ms", "writes to a COMMIT", "ms of a COMMIT"),
        [(name, *(with_range(spread(each, metric)) for metric in ("rate", "p50_ms", "p99_ms", "group", "commit_ms")))
         for name, each in series.items()],
    )  # fmt: skip
    gaps = {
        disk: ratios(series[f"{disk}, group commit"]["rate"], series[f"{disk}, a commit each"]["rate"])
        for disk in SLOW_DISKS
    }
    told = ", ".join(f"{with_range(gap, 'x')} on {disk}" for disk, gap in gaps.items())
    return [
        *lines,
        "",
        f"Group commit against a commit for each request: {told.replace('on 5 ms a sync', 'where a sync takes 5 ms')}.",
    ]


def writers(figures: Figures) -> list[str]:
    series, found = figures["series"], []
    for work, group in dict.fromkeys(tuple(reversed(name.split("|")[1:])) for name in series):
        one, busy, turn = (series[f"{kind}|{group}|{work}"] for kind in KINDS)
        found.append((
            f"{work} µs", group, with_range(spread(one)),
            with_range(ratios(busy["rate"], one["rate"]), "x"), with_range(ratios(turn["rate"], one["rate"]), "x"),
            *(f"{spread(each, 'least_share').median:.0%}, {number(spread(each, 'longest_wait_ms').highest)} ms" for each in (busy, turn)),
        ))  # fmt: skip
    header = [
        "a row's own work",
        "rows in a transaction",
        "one writer, rows a second",
        "two, SQLite's lock",
        "two, in turn",
    ]
    header += ["fair? SQLite's lock", "fair? in turn"]
    note = "Fair: what the slower writer got of an equal share, and the longest that one waited for the lock."
    return [*table(header, found), "", note]


def images(figures: Figures) -> list[str]:
    header = ("image", f"MB above {figures['base']} ({number(figures['base_mb'])} MB)")
    rows = [(name, number(size)) for name, size in figures["above_base_mb"].items()]
    return [*table(header, rows), "", f"As Docker Engine {figures['engine']} counts them."]


def start(figures: Figures) -> list[str]:
    rows = [(f"{name} healthy", with_range(Spread.of(times))) for name, times in figures["healthy_s"].items()]
    rows.append(("`docker compose up -d` returned", with_range(Spread.of(figures["up_returned_s"]))))
    return [*table(("", "seconds from `docker compose up`"), rows), "", f"Docker Engine {figures['engine']}."]


DETAILS: dict[str, tuple[str, Callable[[Figures], list[str]]]] = {
    "peers": ("Beside the peers", peers),
    "sqlite": ("SQLite alone", sqlite),
    "bulk": ("Bulk", bulk),
    "open-load": ("Response times under open load", open_load),
    "memory": ("Memory", memory),
    "rows": ("With more rows in the file", rows),
    "connections": ("With more connections", connections),
    "batches": ("With larger batches", batches),
    "slow-disk": ("On a slow disk", slow_disk),
    "writers": ("A second writing process", writers),
    "images": ("Images", images),
    "start": ("From `docker compose up` to healthy", start),
}


def plots(content: Json) -> dict[str, str]:
    """SVG by the name of the part, of those that have been measured."""
    drawn = {}
    for name, draw in DRAWN.items():
        if (figures := figures_of(content["parts"], name)) is not None:
            drawn[name] = draw(figures["series"])
    return drawn


STYLES = {"threefold orders": "ours", "threefold users": "ours", "echo": "limit"}


def drawn_peers(series: Mapping[str, Series]) -> str:
    shown = [Bar(name, spread(each), STYLES.get(name, "peer")) for name, each in series.items()]
    return bars(
        "Orders and users a second", "64 connections, one process a service; line: lowest to highest round", shown
    )


def drawn_slow_disk(series: Mapping[str, Series]) -> str:
    shown = [Bar(name, spread(each), "ours" if "group" in name else "peer") for name, each in series.items()]
    return bars(
        "Orders a second by what a sync takes", "group commit, and a commit for each request; 64 connections", shown
    )


def drawn_bulk(series: Mapping[str, Series]) -> str:
    shown = [
        Bar(name.replace("sqlite", "SQLite alone,"), spread(each), "limit" if "sqlite" in name else "ours")
        for name, each in series.items()
    ]
    return bars(
        "Rows a second in bulk", "one client, 1000 rows a request; SQLite alone: 1000 rows a transaction", shown
    )


def swept(
    title: str, what: str, along: str, label: Callable[[str], str] = str
) -> Callable[[Mapping[str, Series]], str]:
    return lambda series: sweep(title, what, along, [(label(name), spread(each)) for name, each in series.items()])


DRAWN: dict[str, Callable[[Mapping[str, Series]], str]] = {
    "peers": drawn_peers,
    "bulk": drawn_bulk,
    "rows": swept("Orders a second by rows in the file", "64 connections; band: lowest to highest round",
                  "orders already there", lambda size: f"{int(size):,}"),
    "connections": swept("Orders a second by connections", "band: lowest to highest round", "connections"),
    "batches": swept("Orders a second by rows in a batch", "one client; band: lowest to highest round", "orders in a request"),
    "slow-disk": drawn_slow_disk,
}  # fmt: skip


def write(content: Json, directory: Path) -> None:
    """results.md and the plots; plots of what is not measured any more are removed."""
    drawn = plots(content)
    for name, svg in drawn.items():
        (directory / f"{name}.svg").write_text(svg, encoding="utf-8")
    for name in DRAWN.keys() - drawn.keys():
        (directory / f"{name}.svg").unlink(missing_ok=True)
    (directory / "results.md").write_text(text(content, drawn), encoding="utf-8")
