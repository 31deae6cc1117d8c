"""The report of a run: printed as tables and written as JSON. It measures nothing and judges nothing."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .audit import HELD, VIOLATED, Report
from .settings import SERVICES

BUSY = 0.9  # of its one core: above this the load generator may be what limits the load
LOG_WIDTH = 110  # columns where the output is not a terminal and COLUMNS is not set


@dataclass(frozen=True)
class Latency:
    """Response times of one action over one method, in milliseconds."""

    action: str
    method: str
    requests: int
    failures: int
    p50: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True)
class Measured:
    """What was measured during the load."""

    seconds: float
    writes: int
    requests: int
    latencies: list[Latency]
    failures: list[tuple[str, int]]  # what went wrong, how often, as Locust counts it
    rate: float | None = None  # requests a second that were due in an open load; None: a closed load
    late_ms: float | None = None  # by which the load generator itself was too late in an open load, at most

    @property
    def writes_per_second(self) -> float:
        """0 where the load never began."""
        return self.writes / self.seconds if self.seconds else 0.0

    @property
    def share_of_rate(self) -> float | None:
        """How much of the rate of an open load was reached."""
        return self.requests_per_second / self.rate if self.rate else None

    @property
    def requests_per_second(self) -> float:
        """0 where the load never began."""
        return self.requests / self.seconds if self.seconds else 0.0


# Control characters, line and paragraph separators, and what turns the direction of writing; not the line feed.
UNPRINTABLE = [*range(10), *range(11, 32), *range(127, 160), *range(0x2028, 0x202F), *range(0x2066, 0x206A)]
ESCAPED = {code: f"\\u{code:04x}" for code in UNPRINTABLE}


class Safe(Console):
    """A console whose terminal obeys no text: what a service answered is shown, escape sequences included."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(text.translate(ESCAPED), **options)


def new_console() -> Console:
    """A console that wraps nothing in a log file and takes no word for markup."""
    width = None if os.isatty(1) or os.environ.get("COLUMNS") else LOG_WIDTH
    return Safe(width=width, markup=False, highlight=False, emoji=False)


def verdict_line(report: Report) -> str:
    """The verdict in one sentence."""
    attempted = sum(counts.attempted for counts in report.services.values())
    acknowledged = sum(counts.acknowledged for counts in report.services.values())
    if report.verdict == HELD:
        return f"PASS: {attempted:,} writes attempted, {acknowledged:,} acknowledged, every one there exactly once."
    if report.verdict == VIOLATED:
        broken = ", ".join(f"{finding.name} ({finding.count:,})" for finding in report.violated)
        return f"FAIL: {attempted:,} writes attempted, {acknowledged:,} acknowledged; {broken}."
    return f"NO VERDICT: {'; '.join(report.flaws)}."


def as_json(report: Report, measured: Measured, extra: dict[str, Any]) -> dict[str, Any]:
    """The report as a JSON object; `extra` is what only the run knows, such as when it began."""
    return {
        "run": report.run,
        "verdict": report.verdict,
        "summary": verdict_line(report),
        **extra,
        "load": {
            "seconds": round(measured.seconds, 3),
            "writes": measured.writes,
            "writes_per_second": round(measured.writes_per_second, 1),
            "requests": measured.requests,
            "requests_per_second": round(measured.requests_per_second, 1),
            "kind": "open" if measured.rate else "closed",
            **_open(measured),
        },
        "services": {name: asdict(counts) for name, counts in report.services.items()},
        "invariants": [asdict(finding) for finding in report.invariants],
        "flaws": report.flaws,
        "refusals": [dict(zip(("service", "problem", "writes"), each, strict=True)) for each in report.refusals],
        "rows_of_others": report.others,
        "latencies_ms": [asdict(latency) for latency in measured.latencies],
        "failures": [{"what": what, "times": times} for what, times in measured.failures],
    }


def _open(measured: Measured) -> dict[str, Any]:
    """What there is to say of an open load only."""
    if measured.rate is None or measured.late_ms is None:
        return {}
    share = round(measured.share_of_rate or 0.0, 4)
    return {"rate": measured.rate, "share_of_rate": share, "generator_late_ms": round(measured.late_ms, 1)}


def _kind_of_load(measured: Measured) -> str:
    """Which kind of load it was, and what its response times mean."""
    if measured.rate is None:
        return "Closed load: each shopper waited for its answers, so a stall of a service shows in few requests."
    return (
        f"Open load: {measured.rate:g} requests/s were due, {measured.share_of_rate:.1%} of that was reached; response "
        "times count from when a request was due. "
        f"The load generator itself was at most {measured.late_ms:.0f} ms late."
    )


def write(content: dict[str, Any], path: Path) -> None:
    """Write the JSON report; a reader sees the whole of it or nothing. Raises OSError."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def bottleneck(costs: Sequence[dict[str, Any]]) -> str | None:
    """Whether the load generator may have been what limited the load, in a sentence; None: it was not."""
    for cost in costs:
        if cost["process"] not in SERVICES and (cost["share_of_a_core"] or 0) >= BUSY:
            who = "The load generator" if cost["process"] == "loadgen" else f"The {cost['process']}"
            share = f"{cost['share_of_a_core']:.0%}"
            return f"{who} used {share} of its one core: it may have been the limit, not the services."
    return None


def show(report: Report, measured: Measured, console: Console, costs: Sequence[dict[str, Any]] = ()) -> None:
    """Print the report, the verdict last; `costs` is what each process took."""
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
        console.print(_table("Requests not served as they should be", ("why", "requests"), measured.failures))
        console.print()
    console.print(_invariants(report))
    for finding in report.violated:
        console.print(f"  {finding.name}: {finding.meaning}.", style="red", soft_wrap=True)
        console.print(f"    for example: {'; '.join(finding.examples)}", style="red", soft_wrap=True)
    console.print()
    for note in _notes(report):
        console.print(note)
    console.print(verdict_line(report), style="bold green" if report.verdict == HELD else "bold red", soft_wrap=True)


def show_workers(workers: Sequence[dict[str, Any]], console: Console) -> None:
    """Print what each worker of a distributed run found, and where its ledger lies."""
    console.print("Workers", style="bold")
    for each in workers:
        console.print(f"{each['worker']}: {each['summary']}", soft_wrap=True)
        if each["ledger"]:
            console.print(f"  its ledger: {each['ledger']}", soft_wrap=True)


def _writes(report: Report) -> Table:
    rows = [(n, c.attempted, c.acknowledged, c.refused + c.maybe, c.unknown) for n, c in report.services.items()]
    _, *columns = zip(*rows, strict=True)
    rows.append(("all", *map(sum, columns)))  # type: ignore[arg-type]
    return _table("Writes", ("service", "attempted", "acknowledged", "refused", "unknown"), rows)


def _latencies(measured: Measured) -> Table:
    columns = ("action", "method", "requests", "failures", "p50", "p95", "p99", "max")
    rows = [tuple(asdict(latency).values()) for latency in measured.latencies]
    return _table("Response times in milliseconds", columns, rows)


def _costs(costs: Sequence[dict[str, Any]]) -> Table:
    columns = ("process", "requests", "CPU s", "CPU us a request", "% of a core", "MB at most")
    names = ("requests", "cpu_seconds", "cpu_us_per_request", "share_of_a_core", "rss_mb")
    rows = [(each["process"], *(each[name] or 0 for name in names)) for each in costs]
    table = [(*row[:4], row[4] * 100.0, row[5]) for row in rows]
    return _table("What it cost during the load", columns, table)


def _invariants(report: Report) -> Table:
    rows = [(f.name, "not judged" if f.count is None else f.count) for f in report.invariants]
    return _table("Invariants", ("every count must be 0", "violations"), rows)


def _notes(report: Report) -> Iterable[str]:
    maybe = sum(counts.maybe for counts in report.services.values())
    if maybe:
        yield f"{maybe} PATCHes were refused after a try without an answer: each may have been made."
    if others := ", ".join(f"{count:,} {service}" for service, count in report.others.items()):
        yield f"Rows of other clients, not judged: {others}."
    if report.verdict == VIOLATED:
        yield from (f"Also: {flaw}." for flaw in report.flaws)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A table without borders: words to the left, numbers to the right with thousands marked."""
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
