"""The terminal: the sample data, the report and the verdict, in words and tables."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..audit.judge import FAIL, PASS, Report
from .json_report import bottleneck, stock_line, verdict_line
from .measurements import Measured

LOG_WIDTH = 110  # columns where the output is not a terminal and COLUMNS is not set

# Control characters, line and paragraph separators, and those that change the direction of text; not the line feed.
UNPRINTABLE = [*range(10), *range(11, 32), *range(127, 160), *range(0x2028, 0x202F), *range(0x2066, 0x206A)]
ESCAPED = {code: f"\\u{code:04x}" for code in UNPRINTABLE}


class Safe(Console):
    """A console that escapes control characters, so that no answer of a service can command the terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(text.translate(ESCAPED), **options)


def new_console() -> Console:
    """Return a console that wraps nothing in a log file and interprets no markup. It has colours on a terminal only."""
    width = None if os.isatty(1) or os.environ.get("COLUMNS") else LOG_WIDTH
    return Safe(width=width, markup=False, highlight=False, emoji=False)


def show_sample(rows: Iterable[tuple[str, str, str]], console: Console) -> None:
    """Print the sample data: the row, the status, and the id or the problem."""
    table = Table(title="Sample data", title_justify="left", box=None, pad_edge=False)
    for column in ("row", "status", "outcome"):
        table.add_column(column, justify="right" if column == "status" else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def show(report: Report, measured: Measured, console: Console, costs: Sequence[dict[str, Any]] = ()) -> None:
    """Print everything but the verdict; `costs` is what each process took."""
    console.print()
    console.print(_writes(report))
    console.print()
    rates = f"{measured.writes_per_second:,.0f} writes/s, {measured.requests_per_second:,.0f} requests/s"
    console.print(f"Load: {measured.writes:,} writes in {measured.seconds:.1f} s: {rates}.")
    console.print(_kind_of_load(measured), soft_wrap=True)
    console.print()
    console.print(_latencies(measured))
    console.print()
    if costs:
        console.print(_costs(costs))
        console.print()
    if limit := bottleneck(costs):
        console.print(limit, style="bold yellow")
        console.print()
    if report.refusals:
        console.print(_table("Refusals", ("service", "problem", "writes"), report.refusals))
        console.print()
    if measured.failures:
        console.print(_table("Failed requests", ("why", "requests"), measured.failures))
        console.print()
    show_findings(report, console)


def show_findings(report: Report, console: Console) -> None:
    """Print what the audit has found."""
    console.print(_invariants(report))
    for finding in report.violated:
        console.print(f"  {finding.name}: {finding.meaning}.", style="red", soft_wrap=True)
        console.print(f"    for example: {'; '.join(finding.examples)}", style="red", soft_wrap=True)
    console.print()
    for note in _notes(report):
        console.print(note, soft_wrap=True)


def show_verdict(report: Report, console: Console) -> None:
    """Print the verdict, on one line."""
    style = {PASS: "bold green", FAIL: "bold red"}.get(report.verdict, "bold yellow")
    console.print(verdict_line(report), style=style, soft_wrap=True)


def show_workers(workers: Sequence[dict[str, Any]], console: Console) -> None:
    """Print the verdict of each worker of a distributed run, and the path of its ledger."""
    console.print("Workers", style="bold")
    for each in workers:
        console.print(f"{each['worker']}: {each['summary']}", soft_wrap=True)
        if each["ledger"]:
            console.print(f"  its ledger: {each['ledger']}", soft_wrap=True)


def _kind_of_load(measured: Measured) -> str:
    """Return which kind of load it was, and what its response times mean."""
    if measured.rate is None:
        return "Closed load: each virtual user waits for its answers, so a slow service gets fewer requests."
    return (
        f"Open load: {measured.rate:g} requests/s were scheduled, {measured.share_of_rate:.1%} of that was reached; "
        "response times count from the scheduled moment. "
        f"The load generator itself was at most {measured.late_ms:.0f} ms late."
    )


def _writes(report: Report) -> Table:
    rows = [(n, c.attempted, c.acknowledged, c.refused + c.maybe, c.unknown) for n, c in report.services.items()]
    _, *columns = zip(*rows, strict=True)
    rows.append(("all", *map(sum, columns)))  # type: ignore[arg-type]
    return _table("Writes", ("service", "attempted", "acknowledged", "refused", "unknown"), rows)


def _latencies(measured: Measured) -> Table:
    columns = ("action", "method", "requests", "failures", "p50", "p95", "p99", "max")
    rows = [tuple(asdict(latency).values()) for latency in measured.latencies]
    return _table("Response times in ms", columns, rows)


def _costs(costs: Sequence[dict[str, Any]]) -> Table:
    columns = ("process", "requests", "CPU s", "CPU µs/request", "% of a core", "peak memory, MB")
    names = ("requests", "cpu_seconds", "cpu_us_per_request", "share_of_a_core", "rss_mb")
    rows = [(each["process"], *(each[name] or 0 for name in names)) for each in costs]
    table = [(*row[:4], row[4] * 100.0, row[5]) for row in rows]
    return _table("Cost of each process during the load", columns, table)


def _invariants(report: Report) -> Table:
    rows = [(f.name, "not judged" if f.count is None else f.count) for f in report.invariants]
    return _table("Invariants", ("every count must be 0", "violations"), rows)


def _notes(report: Report) -> Iterable[str]:
    if maybe := sum(counts.maybe for counts in report.services.values()):
        yield f"{maybe} PATCHes were refused after a try without an answer: each may have been made."
    if early := ", ".join(f"{count:,} {problem}" for problem, count in report.not_judged.items()):
        yield f"Not judged, because they were answered before the data was looked at: {early} (requests)."
    if report.stock:
        yield stock_line(report.stock)
    if others := ", ".join(f"{count:,} {service}" for service, count in report.others.items()):
        yield f"Rows of other clients, not judged: {others}."
    if report.verdict == FAIL:
        yield from (f"Also: {flaw}." for flaw in report.flaws)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Return a table without borders: words to the left, numbers to the right with thousands separators."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, column in enumerate(columns):
        numeric = bool(rows) and isinstance(rows[0][place], int | float)
        table.add_column(column, justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    return table


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
