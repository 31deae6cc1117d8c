"""The judge: the verdict on a run, from the lines of its ledger and the rows read back.

Pure: it takes two streams and returns a report; no network, no clock, and no file but a scratch database. The rows
that should be there are known from the ledger alone, never from the data that is being judged.
"""

import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from ..settings import SERVICES
from .invariant import Invariant
from .invariants import INVARIANTS
from .ledger import Line, Row
from .tables import DERIVATIONS, Heading, create_tables, load_ledger, load_rows

T = TypeVar("T")
EXAMPLES = 5  # of the violations of an invariant
PASS, FAIL, NO_VERDICT = 0, 1, 2  # verdicts, which are exit statuses


@dataclass(frozen=True)
class Finding:
    """The violations of one invariant."""

    name: str
    meaning: str
    count: int | None  # None: not judged, because nothing was read back
    examples: list[str]


@dataclass(frozen=True)
class Counts:
    """Writes of one service by fate. `maybe`: PATCHes that were refused after a try without an answer."""

    attempted: int = 0
    acknowledged: int = 0
    refused: int = 0
    unknown: int = 0
    maybe: int = 0


@dataclass(frozen=True)
class Report:
    """The outcome of an audit."""

    run: str
    verdict: int
    flaws: list[str]  # why there is no verdict
    services: dict[str, Counts]
    invariants: list[Finding]
    refusals: list[tuple[str, str, int]]  # service, slug, writes
    others: dict[str, int] = field(default_factory=dict)  # rows read back that are not this run's, by service
    sample_writes: int = 0  # of the writes attempted, those of the sample data
    not_judged: dict[str, int] = field(default_factory=dict)  # requests answered before the data was looked at
    stock: dict[str, int] = field(default_factory=dict)  # of limited products: units supplied, sold, reserved, left

    @property
    def violated(self) -> list[Finding]:
        """The invariants that do not hold."""
        return [finding for finding in self.invariants if finding.count]


def audit(
    ledger: Iterable[Line],
    rows: Iterable[Row] | None,
    flaws: Iterable[str] = (),
    scratch: Path | None = None,
    progress: Callable[[str, int], None] = lambda step, done: None,
) -> Report:
    """Judge a run.

    Args:
        ledger: the ledger's lines, in their order.
        rows: every row read back; None where they could not be read.
        flaws: other reasons why there is no verdict.
        scratch: the directory of the scratch database; None: the system's.
        progress: is called now and then with the step, and the number of lines, rows, statements or invariants done.
    """
    with tempfile.TemporaryDirectory(dir=scratch, prefix="audit-") as directory:
        db = sqlite3.connect(Path(directory) / "scratch.db", isolation_level=None)
        try:
            db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE;")
            create_tables(db)
            db.execute("BEGIN")
            heading = load_ledger(db, _counted(ledger, "loading the ledger", progress))
            if rows is not None:
                load_rows(db, _counted(rows, "loading the rows", progress), heading.run)
            db.execute("COMMIT")
            for statement in _counted(DERIVATIONS, "indexing", progress, every=1):
                db.execute(statement)
            findings = [
                _finding(db, invariant, rows is not None)
                for invariant in _counted(INVARIANTS, "checking the invariants", progress, every=1)
            ]
            return _report(db, heading, list(flaws), findings)
        finally:
            db.close()


def _counted(items: Iterable[T], step: str, progress: Callable[[str, int], None], every: int = 1000) -> Iterator[T]:
    """Yield the same items, and report how many of them are done."""
    for done, item in enumerate(items):
        if done % every == 0:
            progress(step, done)
        yield item


def _finding(db: sqlite3.Connection, invariant: Invariant, have_rows: bool) -> Finding:
    if invariant.needs_rows and not have_rows:
        return Finding(invariant.name, invariant.meaning, None, [])
    violations = db.execute(invariant.query)
    examples = [example for (example,) in violations.fetchmany(EXAMPLES)]
    count = len(examples) + sum(1 for _ in violations)
    return Finding(invariant.name, invariant.meaning, count, examples)


def _report(db: sqlite3.Connection, heading: Heading, flaws: list[str], findings: list[Finding]) -> Report:
    services = {service: Counts() for service in SERVICES}
    per_service = """SELECT service, count(*), sum(fate = 'ok'), sum(fate = 'refused'), sum(fate = 'unknown'),
                     sum(fate = 'maybe') FROM writes GROUP BY service"""
    services |= {service: Counts(*counts) for service, *counts in db.execute(per_service)}
    flaws += _shortcomings(db, heading, services, findings)
    violated = any(finding.count for finding in findings)
    (sample_writes,) = db.execute("SELECT count(*) FROM writes WHERE action = 'sample'").fetchone()
    return Report(
        heading.run,
        FAIL if violated else NO_VERDICT if flaws else PASS,
        flaws,
        services,
        findings,
        db.execute(
            """SELECT service, coalesce(problem, 'status ' || status), count(*) FROM writes
               WHERE fate IN ('refused', 'maybe') GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2"""
        ).fetchall(),
        dict(db.execute("SELECT service, count(*) FROM found WHERE NOT ours GROUP BY service").fetchall()),
        sample_writes,
        dict(heading.not_judged),
        _stock(db) if all(finding.count is not None for finding in findings) else {},
    )


def _stock(db: sqlite3.Connection) -> dict[str, int]:
    """Return the number of limited products and their units; nothing where there is no such product."""
    products, *units = db.execute(
        """SELECT count(*), sum(s.most), sum(s.sold), sum(s.reserved), coalesce(sum(f.units), 0) FROM supplies s
           LEFT JOIN found f ON f.service = 'products' AND f.id = s.product"""
    ).fetchone()
    named = zip(("supplied", "sold", "reserved", "left"), units, strict=True)
    return {"products": products, **dict(named)} if products else {}


def _shortcomings(
    db: sqlite3.Connection, heading: Heading, services: dict[str, Counts], findings: list[Finding]
) -> Iterator[str]:
    """Yield what was not judged, or not often enough for a verdict."""
    if unsettled := sum(counts.unknown for counts in services.values()):
        yield f"{unsettled:,} writes could not be settled"
    for name, counts in services.items():
        if not counts.acknowledged:
            yield f"nothing was acknowledged by {name}"
    completed = {action for (action,) in db.execute("SELECT action FROM completed")}
    if never := [kind for kind in heading.kinds if kind not in completed]:
        yield f"never completed: {', '.join(never)}"
    if any(finding.count is None for finding in findings):
        yield "the rows were not read back"
    elif changing := db.execute("SELECT count(*) FROM supplies WHERE NOT quiet").fetchone()[0]:
        yield f"the stock of {changing:,} limited products changed while it was read back: did another client order?"
