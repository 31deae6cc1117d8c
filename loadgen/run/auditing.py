"""The end of a run: settle, read back, judge, and put the report together."""
# mypy: allow-untyped-calls

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent

from ..audit.invariants import INVARIANTS
from ..audit.judge import Report, audit
from ..audit.ledger import Row, read, read_rows
from ..audit.tables import DERIVATIONS
from ..report.json_report import as_json
from ..report.measurements import Measured
from ..report.process_costs import ProcessCosts
from ..traffic.readback import ReadBackFailed, read_back
from ..traffic.sample import find_limited
from ..traffic.sender import Sender
from ..traffic.settle import settle
from .state import Run, RunState

Json = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """The audit of a run, the figures of its load, and both as the JSON report."""

    report: Report
    measured: Measured
    content: Json


def audit_run(run: Run, sender: Sender, measured: Measured, costs: ProcessCosts | None) -> Outcome:
    """Settle the open writes, read everything back, and judge. Closes the ledger and the connections."""
    try:
        run.phase = "settle"
        settle(sender)
        find_limited(run.workload)
        if run.workload.stocked and not run.workload.limited:
            run.flaw("no limited product could be made, so their invariants were not judged")
        ledger = run.workload.ledger
        ledger.close()
        run.phase = "audit"
        began = time.monotonic()
        readback_file = run.directory / f"readback-{run.mark}.jsonl"
        rows = _rows(run, sender, readback_file)
        # In a thread: queries over a million rows must not block the page.
        report = gevent.get_hub().threadpool.apply(
            audit, (read(ledger.path), rows, tuple(run.flaws), run.directory, steps(run))
        )
        seconds = time.monotonic() - began
        files = {"ledger": str(ledger.path), "read_back": str(readback_file)}
        outages = {"outages": run.measurements.timeline.outages_as_json()}
        content = as_json(report, measured, about(run, costs, seconds) | files | outages)
        return Outcome(report, measured, content)
    finally:
        sender.close()


def _rows(run: Run, sender: Sender, path: Path) -> Iterator[Row] | None:
    """Return the rows read back, as a stream; None, with a flaw of the run, where they could not be read."""
    expected = sum(tally.acknowledged for tally in run.tallies().values())

    def progress(rows: int) -> None:
        run.audited = rows
        run.progress.at("reading back", rows, max(expected, rows))

    run.progress.at("reading back")
    try:
        read_back(sender.http, run.workload.first_ids, run.workload.limited, path, progress)
    except (ReadBackFailed, OSError) as error:
        run.flaw(f"reading back failed: {error}")
        return None
    return read_rows(path)


def steps(run: Run) -> Callable[[str, int], None]:
    """Return the function that takes the progress of the judge of `run`."""
    totals = {
        "loading the ledger": run.workload.ledger.lines,
        "loading the rows": run.audited,
        "indexing": len(DERIVATIONS),
        "checking the invariants": len(INVARIANTS),
    }
    return lambda step, done: run.progress.at(step, done, totals[step])


def about(run: RunState, costs: ProcessCosts | None, audit_seconds: float) -> Json:
    """Return the members of the report that are neither judged nor totals of the load."""
    return {
        "started_at": run.started_at.isoformat(timespec="milliseconds"),
        "settings": run.settings,
        "costs": costs.as_json(run.measurements.requests, run.load_seconds()) if costs else [],
        "restarts": costs.restarts if costs else [],
        "audit": {"seconds": round(audit_seconds, 1), "rows_read_back": run.audited},
        "timeline": run.measurements.timeline.as_json(),
    }


def measure(run: RunState) -> Measured:
    """Return the figures of the whole load of a run."""
    counted = run.measurements
    return Measured(
        run.load_seconds(),
        run.load_writes(),
        sum(counted.requests.values()),
        counted.latencies(),
        counted.failures(),
    )
