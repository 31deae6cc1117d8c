"""The report of a run as one HTML file that loads nothing: `python -m loadgen.report.html report-MARK.json`.

A pure function of the JSON report. The page leaves out what the report does not hold, as an older one may not, and
lists at its end what the template does not know.
"""

import json
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from markupsafe import Markup

from ..audit.causes import CAUSES
from .charts import Mark, Series, Values, chart, linear, logarithmic
from .json_report import bottleneck
from .markup import render

Json = Mapping[str, Any]
# The only script: times as the reader's clock and language have them. The policy of the page allows no other.
SCRIPT = """for (const each of document.querySelectorAll("time")) {
  const read = new Date(each.dateTime);
  if (!isNaN(read)) each.textContent = read.toLocaleString();
}"""
SCRIPT_HASH = f"sha256-{b64encode(sha256(SCRIPT.encode()).digest()).decode()}"
TALLIED = ("attempted", "acknowledged", "refused", "unknown")
LATENCIES = ("p50", "p95", "p99", "max")
# The members that the template shows itself; the others are listed at the end.
KNOWN = {
    *("run", "verdict", "summary", "started_at", "ledger", "read_back", "load", "services", "sample_writes"),
    *(
        "invariants",
        "flaws",
        "refusals",
        "not_judged",
        "rows_of_others",
        "stock",
        "latencies_ms",
        "failures",
        "settings",
    ),
    *("costs", "restarts", "outages", "timeline", "audit", "workers"),
}
KNOWN_OF_LOAD = frozenset(("seconds", "writes", "writes_per_second", "requests", "requests_per_second"))


def report_page(report: Json) -> str:
    """Return the page of a report, which is what `as_json` and `run/` make.

    Raises:
        LookupError, TypeError, AttributeError, TemplateError: this is not a report.
    """
    known: dict[str, Any] = {name: report.get(name) for name in sorted(KNOWN)}
    known |= {name: report[name] for name in ("run", "verdict", "load")}
    other = {name: value for name, value in report["load"].items() if name not in KNOWN_OF_LOAD}
    return render(
        "report.html",
        **known,
        script=Markup(SCRIPT),  # noqa: S704 - our own
        script_hash=SCRIPT_HASH,
        causes=CAUSES,
        totals=totals(report.get("services") or {}),
        charts=charts(report),
        limit=bottleneck(report.get("costs") or ()),
        cost_rows=[cost_row(each) for each in report.get("costs") or ()],
        more=list(flat({name: value for name, value in report.items() if name not in KNOWN})),
        settings_flat=list(flat({**(report.get("settings") or {}), **other})),
    )


def charts(report: Json) -> list[Markup]:
    """Return the charts of throughput, response times and errors over time; none where there is no timeline."""
    timeline = report.get("timeline")
    if not timeline or not timeline["requests"]:
        return []
    width, seconds = timeline["slice_seconds"], report["load"]["seconds"]
    marks = list(marks_of(report))
    rates = {name: per_second(timeline[name], width, seconds) for name in ("requests", "writes", "refused", "failed")}
    latencies = [Series(name, name, timeline[name]) for name in LATENCIES]
    answered = [
        Series("requests", "requests", rates["requests"]),
        Series("acknowledged writes", "writes", rates["writes"]),
    ]
    errors = [Series("refused", "refused", rates["refused"]), Series("without an answer", "failed", rates["failed"])]
    return [
        chart("Throughput, per second", answered, linear(_all(answered)), width, seconds, marks),
        chart("Response times in ms (log scale)", latencies,
              logarithmic(_all(latencies)), width, seconds, marks),
        chart("Refused and failed, per second", errors, linear(_all(errors)), width, seconds, marks),
    ]  # fmt: skip


def totals(services: Mapping[str, Json]) -> list[int]:
    """Return the sums of TALLIED; a write that may have been refused counts as refused, as in the rows above."""
    return [
        sum(each[name] + (each["maybe"] if name == "refused" else 0) for each in services.values()) for name in TALLIED
    ]


def cost_row(cost: Json) -> tuple[Any, ...]:
    """Return the cells of what a process cost; its share of a core as percent."""
    share = cost["share_of_a_core"]
    percent = None if share is None else f"{share:.0%}"
    return (
        *(cost[name] for name in ("process", "requests", "cpu_seconds", "cpu_us_per_request")),
        percent,
        cost["rss_mb"],
    )


def _all(series: Sequence[Series]) -> Iterator[float | None]:
    for each in series:
        yield from each.values


def per_second(counts: Sequence[int], width: float, seconds: float) -> Values:
    """Return rates of slices `width` seconds long. The last one is shorter; below half a slice it is not drawn."""
    rates: list[float | None] = []
    for place, count in enumerate(counts):
        length = min(width, seconds - place * width)
        rates.append(count / length if length >= width / 2 or len(counts) == 1 else None)
    return rates


def marks_of(report: Json) -> Iterator[Mark]:
    """Yield the outages and restarts that the report holds."""
    for each in report.get("outages") or ():
        text = f"{each['service']} served no write from {each['from']:.1f} s to {each['to']:.1f} s: {each['why']}"
        yield Mark(text, each["from"], each["to"])
    for each in report.get("restarts") or ():
        yield Mark(f"{each['service']} restarted, noticed at {each['at']:.1f} s", each["at"], each["at"])


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the plain values in nested objects and lists, each with its path; skip null."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and any(isinstance(inner, list | Mapping) for inner in value):
        for place, inner in enumerate(value, start=1):
            yield from flat(inner, f"{name} {place}")
    elif isinstance(value, list):
        yield name, ", ".join(map(str, value))
    elif value is not None:
        yield name, value


def write(report: Json, path: Path) -> None:
    """Write the page; a reader sees the whole of it or nothing. Raises OSError."""
    partial = path.with_suffix(".html.partial")
    partial.write_text(report_page(report), encoding="utf-8", errors="backslashreplace")
    partial.replace(path)


def main(arguments: Sequence[str]) -> int:
    """Make the page beside each report that is named. Return 2 if one cannot be read, or is not a report."""
    if not arguments:
        print("usage: python -m loadgen.report.html report-MARK.json ...", file=sys.stderr)
        return 2
    for name in arguments:
        path = Path(name)
        try:
            write(json.loads(path.read_text(encoding="utf-8")), path.with_suffix(".html"))
        except (OSError, ValueError) as error:
            print(f"loadgen: {name} cannot be read, or its page cannot be written: {error}.", file=sys.stderr)
            return 2
        except (AttributeError, LookupError, TypeError, TemplateError) as error:
            print(f"loadgen: {name} is not the report of a run: {error!r}.", file=sys.stderr)
            return 2
        print(f"Page: {path.with_suffix('.html')}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
