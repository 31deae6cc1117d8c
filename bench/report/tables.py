"""A Markdown table for each part, from its figures alone."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..parts.slow_disk import CONTENDERS as SLOW_DISKS
from ..sampling import Series, Spread, ratios
from .plots import number

Figures = Mapping[str, Any]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table."""
    return ["| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows)]


def spread(series: Series, metric: str = "rate") -> Spread:
    return Spread.of(series[metric])


def with_range(values: Spread, unit: str = "") -> str:
    """Return a spread as `16.6 (15.1 to 17.2)`."""
    if values.lowest == values.highest:
        return f"{number(values.median)}{unit}"
    return f"{number(values.median)}{unit} ({number(values.lowest)} to {number(values.highest)})"


def peers(figures: Figures) -> list[str]:
    series = figures["series"]
    names = ("tutorial orders", "fastapi orders", "threefold orders", "threefold users", "echo")
    lines = table(
        ("", "a second", "of the echo", "p50 ms", "p99 ms", "wrk, of a core"),
        [(name, with_range(spread(series[name])), with_range(ratios(series[name]["rate"], series["echo"]["rate"])),
          *(with_range(spread(series[name], metric)) for metric in ("p50_ms", "p99_ms")),
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
    ours = series["threefold orders"]["rate"]
    times = {peer: with_range(ratios(ours, series[f"{peer} orders"]["rate"]), "x") for peer in ("tutorial", "fastapi")}
    lines += ["", f"Orders a second: {times['tutorial']} the tutorial's, {times['fastapi']} FastAPI's."]
    lines += ["", *table(header, rows), "", "Seen from outside before the run:", ""]
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


def postgres(figures: Figures) -> list[str]:
    series = figures["series"]
    parts = ("services", "front doors", "database", "client")
    rows = []
    for name, each in series.items():
        load, _, place = name.partition(": ")
        share = ratios(each["rate"], series[f"{load}: SQLite"]["rate"])
        taken = {part: spread(each, f"cpu_us.{part}").median if f"cpu_us.{part}" in each else 0.0 for part in parts}
        rows.append((load, place, with_range(spread(each)), with_range(share), with_range(spread(each, "p50_ms")),
                     with_range(spread(each, "p99_ms")), *map(number, taken.values()), number(sum(taken.values()))))  # fmt: skip
    header = ("load", "on", "a second", "of SQLite", "p50 ms", "p99 ms", *(f"CPU µs: {part}" for part in parts), "all")
    lines = table(header, rows)
    lines += ["", "Three replicas against one, both behind front doors:", ""]
    for load in dict.fromkeys(name.partition(": ")[0] for name in series):
        one = series[f"{load}: 1 replica"]
        for name, three in series.items():
            if name.startswith(f"{load}: 3 replicas"):
                rates = with_range(ratios(three["rate"], one["rate"]))
                used = with_range(ratios(all_cpu(three), all_cpu(one)))
                lines.append(
                    f"- {name}: {rates} of the rate, {used} of the CPU time of a request, the client's left out"
                )
    before, after = figures["before_mb"], figures["after_mb"]
    memory = [
        (name, f"{figures['rows'][name]:,}",
         *(f"{number(before[name].get(part, 0.0))} → {number(used.get(part, 0.0))}" for part in parts[:3]),
         f"{number(sum(before[name].values()))} → {number(sum(used.values()))}")
        for name, used in after.items()
    ]  # fmt: skip
    lines += ["", *table(("MB of memory, at the start → after", "rows written", *parts[:3], "all"), memory)]
    return [*lines, "", f"As Docker Engine {figures['engine']} counts time and memory."]


def all_cpu(series: Series) -> list[float]:
    """Return the CPU time of a request in each round, without that of the client."""
    parts = [series[name] for name in series if name.startswith("cpu_us.") and name != "cpu_us.client"]
    return [sum(values) for values in zip(*parts, strict=True)]


def images(figures: Figures) -> list[str]:
    header = ("image", f"MB above {figures['base']} ({number(figures['base_mb'])} MB)")
    rows = [(name, number(size)) for name, size in figures["above_base_mb"].items()]
    return [*table(header, rows), "", f"As Docker Engine {figures['engine']} counts them."]


def start(figures: Figures) -> list[str]:
    rows = [(f"{name} healthy", with_range(Spread.of(times))) for name, times in figures["healthy_s"].items()]
    rows.append(("`docker compose up -d` returned", with_range(Spread.of(figures["up_returned_s"]))))
    return [*table(("", "seconds from `docker compose up`"), rows), "", f"Docker Engine {figures['engine']}."]


TABLES: dict[str, tuple[str, Callable[[Figures], list[str]]]] = {
    "peers": ("Beside the peers", peers),
    "sqlite": ("SQLite alone", sqlite),
    "bulk": ("Bulk", bulk),
    "open-load": ("Response times under open load", open_load),
    "memory": ("Memory", memory),
    "rows": ("With more rows in the file", rows),
    "connections": ("With more connections", connections),
    "batches": ("With larger batches", batches),
    "slow-disk": ("On a slow disk", slow_disk),
    "postgres": ("Replicas on PostgreSQL", postgres),
    "images": ("Images", images),
    "start": ("From `docker compose up` to healthy", start),
}
