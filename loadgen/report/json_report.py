"""The report of a run as JSON, and its verdict in one sentence. It measures nothing and judges nothing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..audit.judge import FAIL, PASS, Report
from ..settings import SERVICES
from .measurements import Measured

BUSY = 0.9  # of its one core: above this the load generator may be what limits the load


def verdict_line(report: Report) -> str:
    """Return the verdict in one sentence."""
    attempted = sum(counts.attempted for counts in report.services.values())
    acknowledged = sum(counts.acknowledged for counts in report.services.values())
    numbers = f"{attempted:,} writes attempted"
    if report.sample_writes:
        load = attempted - report.sample_writes
        numbers += f" ({load:,} of the load + {report.sample_writes:,} of the sample data)"
    numbers += f", {acknowledged:,} acknowledged"
    if report.verdict == PASS:
        return f"PASS: {numbers}, every one there exactly once."
    if report.verdict == FAIL:
        broken = ", ".join(f"{finding.name} ({finding.count:,})" for finding in report.violated)
        return f"FAIL: {numbers}; {broken}."
    return f"NO VERDICT: {'; '.join(report.flaws)}."


def as_json(report: Report, measured: Measured, extra: dict[str, Any]) -> dict[str, Any]:
    """Return the report as a JSON object; `extra` is what only the run knows, such as when it began."""
    return {
        "run": report.run,
        "verdict": report.verdict,
        "summary": verdict_line(report),
        "load": {
            "seconds": round(measured.seconds, 3),
            "writes": measured.writes,
            "writes_per_second": round(measured.writes_per_second, 1),
            "requests": measured.requests,
            "requests_per_second": round(measured.requests_per_second, 1),
            "kind": "open" if measured.rate else "closed",
            **_open_load(measured),
        },
        "services": {name: asdict(counts) for name, counts in report.services.items()},
        "sample_writes": report.sample_writes,
        "invariants": [asdict(finding) for finding in report.invariants],
        "flaws": report.flaws,
        "refusals": [dict(zip(("service", "problem", "writes"), each, strict=True)) for each in report.refusals],
        "not_judged": report.not_judged,
        "rows_of_others": report.others,
        "stock": report.stock,
        "latencies_ms": [asdict(latency) for latency in measured.latencies],
        "failures": [{"what": what, "times": times} for what, times in measured.failures],
        **extra,
    }


def stock_line(stock: Mapping[str, int]) -> str:
    """Return what became of the units of limited products, in one sentence."""
    return "Limited products: {products:,}. Units: {supplied:,} supplied, {sold:,} sold, {left:,} left.".format(**stock)


def _open_load(measured: Measured) -> dict[str, Any]:
    """Return the figures that only an open load has."""
    if measured.rate is None or measured.late_ms is None:
        return {}
    share = round(measured.share_of_rate or 0.0, 4)
    return {"rate": measured.rate, "share_of_rate": share, "generator_late_ms": round(measured.late_ms, 1)}


def bottleneck(costs: Sequence[dict[str, Any]]) -> str | None:
    """Return a sentence if the load generator may have limited the load; None: it did not."""
    for cost in costs:
        if cost["process"] not in SERVICES and (cost["share_of_a_core"] or 0) >= BUSY:
            who = "The load generator" if cost["process"] == "loadgen" else f"The {cost['process']}"
            share = f"{cost['share_of_a_core']:.0%}"
            return f"{who} used {share} of its one core: it may have been the limit, not the services."
    return None


def write(content: dict[str, Any], path: Path) -> None:
    """Write the JSON report; a reader sees the whole of it or nothing. Raises OSError."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)
