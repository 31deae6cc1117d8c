"""The judge: from what was sent and answered, and what was read back, whether every invariant holds.

Pure: it takes two streams and gives a report; no network, no clock, and no files but a scratch database, which
keeps memory flat for a million writes. What should be there is known from the ledger alone. Each invariant is one
query over these tables, and finds its violations one a row, with words for an example:

    writes   one row for each write (an item of a batch is a write): what was sent, its `fate`, and what was
             acknowledged (`ack_...`); `identity` says which row it explains, `product` is what a PATCH changes
    found    one row for each row read back; `ours` says that it belongs to this run
    answers  one row for each write and try that ended; `sends` one for each try that began
    prices   what each product of this run may have cost, and what it is called
    reads    which write a GET had to show

`core` is a row without the price of a product, which may change later; prices are whole cents, never fractions.
"""

import json
import re
import sqlite3
import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from .ledger import Line, Row, classify, fate, settles
from .settings import SERVICES

T = TypeVar("T")
EXAMPLES = 5  # of the violations of an invariant
HELD, VIOLATED, UNDECIDED = 0, 1, 2  # verdicts, which are exit statuses
WRITTEN_PRICE = re.compile(r"[0-9]{1,15}\.[0-9]{2}")
LARGEST_PRICE = 10**15  # of those that are compared at all; the contract ends at 10**6
LARGEST_INTEGER = 2**63 - 1


class Invariant(NamedTuple):
    """A statement that must have no violation."""

    name: str
    meaning: str
    query: str
    needs_rows: bool = True  # False: the ledger alone decides
    rows_of_others: bool = False  # True: it judges these too, so that each of several audits finds the same


INVARIANTS = (
    Invariant(
        "acknowledged but missing",
        "a write was answered with 201, and its row is not under that id",
        """
        SELECT printf('%s %d (op %d)', w.service, w.ack_id, w.op) FROM writes w
        WHERE w.verb = 'create' AND w.fate = 'ok'
          AND NOT EXISTS (SELECT 1 FROM found f WHERE f.service = w.service AND f.id = w.ack_id
                          AND (f.identity IS w.identity OR NOT EXISTS (
                              SELECT 1 FROM writes o WHERE o.service = f.service AND o.identity = f.identity)))
        """,
    ),
    Invariant(
        "acknowledged but altered",
        "a row, or an acknowledgement, is not what was sent, or the row is not what was acknowledged",
        """
        SELECT printf('%s %d (op %d)', w.service, w.ack_id, w.op)
        FROM writes w JOIN found f ON f.service = w.service AND f.id = w.ack_id
        WHERE w.verb = 'create' AND w.fate = 'ok'
          AND (f.identity IS w.identity OR NOT EXISTS (
              SELECT 1 FROM writes o WHERE o.service = f.service AND o.identity = f.identity)) AND (
            f.identity IS NOT w.identity OR f.name IS NOT w.name OR f.core IS NOT w.ack_core
            OR w.service = 'products' AND w.ack_cents IS NOT w.cents
            OR w.service = 'products' AND f.cents IS NOT w.cents
               AND NOT EXISTS (SELECT 1 FROM writes p WHERE p.verb = 'patch' AND p.product = w.ack_id)
            OR w.service = 'orders' AND EXISTS (SELECT 1 FROM prices p WHERE p.product = f.product_id)
               AND NOT EXISTS (SELECT 1 FROM prices p WHERE p.product = f.product_id
                               AND p.name IS f.product_name AND p.cents IS f.cents))
        UNION ALL
        SELECT printf('products %d (op %d)', w.product, w.op) FROM writes w
        WHERE w.verb = 'patch' AND w.fate = 'ok'
          AND (w.ack_cents IS NOT w.cents OR w.ack_id IS NOT w.product OR w.ack_etag IS NULL)
        """,
    ),
    Invariant(
        "duplicated",
        "one write made two rows or more",
        """
        SELECT printf('%s %s: %d rows, the last %d', f.service, f.identity, count(*), max(f.id))
        FROM found f
        WHERE EXISTS (SELECT 1 FROM writes w WHERE w.verb = 'create' AND w.fate IN ('ok', 'unknown')
                      AND w.service = f.service AND w.identity = f.identity)
        GROUP BY f.service, f.identity HAVING count(*) > 1
        """,
    ),
    Invariant(
        "refused but present",
        "a write was refused, and its row is there",
        """
        SELECT printf('%s %d', f.service, f.id) FROM found f
        WHERE EXISTS (SELECT 1 FROM writes w WHERE w.verb = 'create' AND w.fate = 'refused'
                      AND w.service = f.service AND w.identity = f.identity)
          AND NOT EXISTS (SELECT 1 FROM writes w WHERE w.verb = 'create' AND w.fate <> 'refused'
                          AND w.service = f.service AND w.identity = f.identity)
        """,
    ),
    Invariant(
        "never sent but present",
        "a row bears this run's mark, or is an order of this run's users, and no write explains it",
        """
        SELECT printf('%s %d', f.service, f.id) FROM found f
        WHERE f.ours
          AND NOT EXISTS (SELECT 1 FROM writes w WHERE w.verb = 'create'
                          AND w.service = f.service AND w.identity = f.identity)
          AND NOT EXISTS (SELECT 1 FROM writes w WHERE w.verb = 'create'
                          AND w.service = f.service AND w.ack_id = f.id)
        """,
    ),
    Invariant(
        "order with an unknown user or product",
        "an order of this run names a user or a product that is not there",
        """
        SELECT printf('orders %d: user %d, product %d', f.id, f.user_id, f.product_id) FROM found f
        WHERE f.service = 'orders' AND f.ours AND (
            NOT EXISTS (SELECT 1 FROM found u WHERE u.service = 'users' AND u.id = f.user_id)
            OR NOT EXISTS (SELECT 1 FROM found p WHERE p.service = 'products' AND p.id = f.product_id))
        """,
    ),
    Invariant(
        "wrong total",
        "the total of an order is not its unit price times its quantity, in whole cents",
        """
        SELECT printf('orders %d', f.id) FROM found f
        WHERE f.service = 'orders' AND f.ours AND f.total IS NOT f.cents * f.quantity
        """,
    ),
    Invariant(
        "equal e-mails",
        "two users, of this run or not, have one e-mail address after Unicode NFC and case folding",
        """
        SELECT printf('users %d and %d', min(f.id), max(f.id)) FROM found f
        WHERE f.service = 'users' AND f.email_key IS NOT NULL GROUP BY f.email_key HAVING count(*) > 1
        """,
        rows_of_others=True,
    ),
    Invariant(
        "replay that differed",
        "two answers under one key differ, or more than one of them claims to be the first",
        """
        SELECT DISTINCT printf('op %d', w.op) FROM writes w JOIN answers a ON a.op = w.op AND a.item = w.item
        WHERE w.keyed AND (a.outcome = 'ok' OR a.outcome = 'refused' AND a.status < 500
                           OR a.outcome = 'unknown' AND a.status BETWEEN 200 AND 399)
        GROUP BY w.op, w.item
        HAVING sum(a.outcome = 'ok') > 0 AND (
            sum(a.outcome <> 'ok') > 0 OR count(DISTINCT a.status || a.body) > 1
            OR sum(a.outcome = 'ok' AND NOT a.replayed) > 1)
        """,
        needs_rows=False,
    ),
    Invariant(
        "own write not read back",
        "a write was acknowledged, and a GET right after showed nothing or something else",
        """
        SELECT printf('%s %d (op %d)', w.service, w.ack_id, w.op)
        FROM reads r JOIN writes w ON w.op = r.of_op AND w.item = r.of_item JOIN answers a ON a.op = r.op
        WHERE w.fate = 'ok' AND (
            a.outcome = 'refused' AND a.status < 500 OR a.outcome = 'ok' AND a.body IS NOT w.ack_body
            OR a.outcome = 'unknown' AND a.status BETWEEN 200 AND 399)
        """,
        needs_rows=False,
    ),
    Invariant(
        "update lost",
        "two PATCHes that named one version were both accepted, or a product's price is not the last accepted one",
        """
        SELECT printf('products %d: version %s was changed %d times', product, if_match, count(*)) FROM writes
        WHERE verb = 'patch' AND fate = 'ok' GROUP BY product, if_match HAVING count(*) > 1
        UNION ALL
        SELECT printf('products %d: the accepted changes are not one chain', w.product) FROM writes w
        WHERE w.verb = 'patch' GROUP BY w.product
        HAVING sum(w.fate = 'ok' AND NOT EXISTS (
                   SELECT 1 FROM writes n WHERE n.verb = 'patch' AND n.fate = 'ok' AND n.product = w.product
                   AND n.if_match = w.ack_etag)) > 1 + sum(w.fate IN ('maybe', 'unknown'))
           AND count(DISTINCT CASE WHEN w.fate = 'ok' THEN w.if_match END) = sum(w.fate = 'ok')
           AND count(w.ack_etag) = sum(w.fate = 'ok')
        UNION ALL
        SELECT printf('products %d: its price is not that of the last change', f.id) FROM found f
        WHERE f.service = 'products' AND f.id IN (SELECT product FROM writes WHERE verb = 'patch')
          AND NOT EXISTS (
            SELECT 1 FROM writes w WHERE w.product = f.id AND w.cents IS f.cents AND w.verb = 'patch'
            AND (w.fate = 'ok' AND NOT EXISTS (
                     SELECT 1 FROM writes n WHERE n.verb = 'patch' AND n.fate = 'ok' AND n.product = f.id
                     AND n.if_match = w.ack_etag)
                 OR w.fate IN ('maybe', 'unknown') AND NOT EXISTS (
                     SELECT 1 FROM writes n WHERE n.verb = 'patch' AND n.fate = 'ok' AND n.product = f.id
                     AND n.if_match = w.if_match)))
          AND NOT EXISTS (
            SELECT 1 FROM writes w WHERE w.verb = 'create' AND w.service = 'products' AND w.ack_id = f.id
            AND w.cents IS f.cents
            AND NOT EXISTS (SELECT 1 FROM writes n WHERE n.verb = 'patch' AND n.fate = 'ok' AND n.product = f.id))
        """,
    ),
    Invariant(
        "accepted, had to be refused",
        "a write that breaks a rule was acknowledged",
        """
        SELECT printf('%s %d (op %d, %s)', service, ack_id, op, expects) FROM writes
        WHERE fate = 'ok' AND expects NOT IN ('ok', 'any')
        """,
        needs_rows=False,
    ),
    Invariant(
        "refused without cause",
        "a write that breaks no rule was refused for good, or one that does for another reason",
        """
        SELECT printf('%s: op %d, %s', w.service, w.op, coalesce(w.problem, w.status)) FROM writes w
        WHERE w.fate = 'refused' AND w.status IN (404, 409, 412, 422) AND w.problem IS NOT w.expects
          AND NOT (w.expects = 'any' AND w.problem = 'duplicate-email' AND EXISTS (
              SELECT 1 FROM writes o WHERE o.service = 'users' AND o.email_key = w.email_key AND o.fate <> 'refused'))
          AND NOT (w.expects = 'any' AND w.problem = 'precondition-failed' AND EXISTS (
              SELECT 1 FROM writes o WHERE o.verb = 'patch' AND o.product = w.product AND o.if_match = w.if_match
              AND o.fate <> 'refused'))
        """,
        needs_rows=False,
    ),
)

_COLUMNS = "identity, name, email_key, cents, user_id, product_id, quantity, product_name, total, core, body"
_TABLES = f"""
CREATE TABLE sent (op INTEGER, item INTEGER, service TEXT, action TEXT, verb TEXT, keyed INTEGER, expects TEXT,
                   product INTEGER, if_match TEXT, {_COLUMNS});
CREATE TABLE sends (op INTEGER, try INTEGER, line INTEGER);
CREATE TABLE answers (op INTEGER, item INTEGER, try INTEGER, line INTEGER, kept INTEGER, outcome TEXT, status INTEGER,
                      problem TEXT, replayed INTEGER, etag TEXT, id INTEGER, {_COLUMNS});
CREATE TABLE reads (op INTEGER, of_op INTEGER, of_item INTEGER);
CREATE TABLE completed (action TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE found (service TEXT, id INTEGER, ours INTEGER, {_COLUMNS});
"""
_JUDGED = """
CREATE INDEX sends_op ON sends (op);
CREATE INDEX answers_op ON answers (op, item, try);
CREATE INDEX answers_line ON answers (line, item);
CREATE TABLE fates AS
    SELECT w.op, w.item, w.keyed,
           min(CASE WHEN a.outcome = 'ok' THEN a.line END) AS acknowledged,
           max(CASE WHEN a.outcome IS NULL OR a.outcome = 'unknown' THEN coalesce(a.line, s.line) END) AS doubt,
           max(CASE WHEN a.kept THEN 9223372036854775807
                    WHEN a.outcome = 'refused' AND settles(a.status) THEN s.line END) AS refusal,
           max(CASE WHEN a.outcome = 'refused' THEN a.line END) AS refused
    FROM sent w JOIN sends s ON s.op = w.op
    LEFT JOIN answers a ON a.op = s.op AND a.item = w.item AND a.try = s.try
    GROUP BY w.op, w.item;
CREATE INDEX fates_op ON fates (op, item);
CREATE TABLE writes AS
    SELECT w.op, w.item, w.service, w.action, w.verb, w.keyed, w.expects, w.product, w.if_match,
           w.identity, w.name, w.email_key, w.cents, fate(f.acknowledged, f.doubt, f.refusal, f.keyed) AS fate,
           a.id AS ack_id, a.etag AS ack_etag, a.cents AS ack_cents, a.core AS ack_core, a.body AS ack_body,
           r.status, r.problem
    FROM sent w JOIN fates f ON f.op = w.op AND f.item = w.item
    LEFT JOIN answers a ON a.line = f.acknowledged AND a.item = w.item
    LEFT JOIN answers r ON r.line = f.refused AND r.item = w.item;
CREATE INDEX writes_op ON writes (op, item);
CREATE INDEX writes_identity ON writes (service, identity);
CREATE INDEX writes_id ON writes (service, ack_id);
CREATE INDEX writes_product ON writes (product, if_match) WHERE product IS NOT NULL;
CREATE INDEX writes_email ON writes (email_key) WHERE email_key IS NOT NULL;
CREATE INDEX found_id ON found (service, id);
CREATE INDEX found_identity ON found (service, identity);
UPDATE found SET ours = 1 WHERE service = 'orders' AND (
    EXISTS (SELECT 1 FROM writes w WHERE w.service = 'users' AND w.ack_id = found.user_id)
    OR EXISTS (SELECT 1 FROM found u WHERE u.service = 'users' AND u.id = found.user_id AND u.ours)
    OR EXISTS (SELECT 1 FROM writes w WHERE w.service = 'orders' AND w.ack_id = found.id)
    OR EXISTS (SELECT 1 FROM writes w WHERE w.service = 'orders' AND w.identity = found.identity));
UPDATE found SET ours = 1 WHERE service <> 'orders'
    AND EXISTS (SELECT 1 FROM writes w WHERE w.service = found.service AND w.verb = 'create' AND w.ack_id = found.id);
CREATE TABLE prices AS
    SELECT ack_id AS product, name, cents FROM writes WHERE service = 'products' AND verb = 'create' AND fate = 'ok'
    UNION
    SELECT p.product, w.name, p.cents FROM writes p JOIN writes w ON w.service = 'products' AND w.ack_id = p.product
    WHERE p.verb = 'patch' AND w.verb = 'create' AND p.fate <> 'refused';
CREATE INDEX prices_product ON prices (product);
"""
JUDGED = [statement for statement in _JUDGED.split(";\n") if statement.strip()]


@dataclass(frozen=True)
class Finding:
    """What an invariant found."""

    name: str
    meaning: str
    count: int | None  # None: it could not be judged, because nothing was read back
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
    """What the audit found."""

    run: str
    verdict: int
    flaws: list[str]  # why no verdict could be reached
    services: dict[str, Counts]
    invariants: list[Finding]
    refusals: list[tuple[str, str, int]]  # service, slug, writes
    others: dict[str, int] = field(default_factory=dict)  # rows read back that are not this run's, by service

    @property
    def violated(self) -> list[Finding]:
        """The invariants that do not hold."""
        return [finding for finding in self.invariants if finding.count]


def audit(
    history: Iterable[Line],
    found: Iterable[Row] | None,
    flaws: Iterable[str] = (),
    scratch: Path | None = None,
    tell: Callable[[str, int], None] = lambda step, done: None,
) -> Report:
    """Judge a run.

    Args:
        history: the ledger's lines, in their order.
        found: every row read back; None where it could not be read.
        flaws: what else keeps a verdict from being reached.
        scratch: the directory of the scratch database; None: the system's.
        tell: hears now and then which step goes on, and how many lines, rows, statements or invariants it has done.
    """
    with tempfile.TemporaryDirectory(dir=scratch, prefix="audit-") as directory:
        db = sqlite3.connect(Path(directory) / "scratch.db", isolation_level=None)
        try:
            db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE;")
            db.create_function("fate", 4, fate, deterministic=True)
            db.create_function("settles", 1, settles, deterministic=True)
            db.executescript(_TABLES)
            db.execute("BEGIN")
            run, kinds = _load_history(db, _counted(history, "loading the ledger", tell))
            if found is not None:
                _load_found(db, _counted(found, "loading the rows", tell), run)
            db.execute("COMMIT")
            for statement in _counted(JUDGED, "indexing", tell, every=1):
                db.execute(statement)
            invariants = [
                _finding(db, invariant, found is not None)
                for invariant in _counted(INVARIANTS, "judging the invariants", tell, every=1)
            ]
            return _judge(db, run, kinds, list(flaws), invariants)
        finally:
            db.close()


def _counted(items: Iterable[T], step: str, tell: Callable[[str, int], None], every: int = 1000) -> Iterator[T]:
    """The same items; `tell` hears how many of them have been done."""
    for done, item in enumerate(items):
        if done % every == 0:
            tell(step, done)
        yield item


def _judge(db: sqlite3.Connection, run: str, kinds: list[str], flaws: list[str], invariants: list["Finding"]) -> Report:
    services = {service: Counts() for service in SERVICES}
    per_service = """SELECT service, count(*), sum(fate = 'ok'), sum(fate = 'refused'), sum(fate = 'unknown'),
                     sum(fate = 'maybe') FROM writes GROUP BY service"""
    services |= {service: Counts(*counts) for service, *counts in db.execute(per_service)}
    if unsettled := sum(counts.unknown for counts in services.values()):
        flaws.append(f"{unsettled:,} writes could not be settled")
    flaws += [f"nothing was acknowledged by {name}" for name, counts in services.items() if not counts.acknowledged]
    completed = {action for (action,) in db.execute("SELECT action FROM completed")}
    if never := [kind for kind in kinds if kind not in completed]:
        flaws.append(f"never completed: {', '.join(never)}")
    if any(finding.count is None for finding in invariants):
        flaws.append("the rows were not read back")
    violated = any(finding.count for finding in invariants)
    return Report(
        run,
        VIOLATED if violated else UNDECIDED if flaws else HELD,
        flaws,
        services,
        invariants,
        db.execute(
            """SELECT service, coalesce(problem, 'status ' || status), count(*) FROM writes
               WHERE fate IN ('refused', 'maybe') GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2"""
        ).fetchall(),
        dict(db.execute("SELECT service, count(*) FROM found WHERE NOT ours GROUP BY service").fetchall()),
    )


def _finding(db: sqlite3.Connection, invariant: Invariant, read_back: bool) -> Finding:
    if invariant.needs_rows and not read_back:
        return Finding(invariant.name, invariant.meaning, None, [])
    violations = db.execute(invariant.query)
    examples = [example for (example,) in violations.fetchmany(EXAMPLES)]
    count = len(examples) + sum(1 for _ in violations)
    return Finding(invariant.name, invariant.meaning, count, examples)


def _load_history(db: sqlite3.Connection, history: Iterable[Line]) -> tuple[str, list[str]]:
    """Fill all tables but `found`; the run's mark, and its kinds of action."""
    run, kinds = "", list[str]()
    in_flight: dict[tuple[int, int], Line] = {}
    for number, line in enumerate(history, start=1):
        if line["event"] == "run":
            run, kinds = line["run"], line["kinds"]
        elif line["event"] == "sent":
            in_flight[line["op"], line["try"]] = line
            db.execute("INSERT INTO sends VALUES (?, ?, ?)", (line["op"], line["try"], number))
            if line["reads"]:
                db.execute("INSERT INTO reads VALUES (?, ?, ?)", (line["op"], *line["reads"]))
            if line["try"] == 1 and line["method"] != "GET":
                db.executemany(f"INSERT INTO sent VALUES ({_marks(9 + 11)})", _sent(line))
        else:
            sent = in_flight.pop((line["op"], line["try"]))
            db.executemany(f"INSERT INTO answers VALUES ({_marks(11 + 11)})", _answers(sent, line, number))
            if line["event"] == "ok" or (line["event"] == "refused" and line["status"] < 500):
                db.execute("INSERT OR IGNORE INTO completed VALUES (?)", (line["action"],))
    return run, kinds


def _load_found(db: sqlite3.Connection, found: Iterable[Row], run: str) -> None:
    def values() -> Iterator[tuple[Any, ...]]:
        for service, row in found:
            ours = run in str(row.get("email", row.get("name", ""))).casefold()
            yield service, _integer(row.get("id")), ours, *_columns(service, row)

    db.executemany(f"INSERT INTO found VALUES ({_marks(3 + 11)})", values())


def _sent(line: Line) -> Iterator[tuple[Any, ...]]:
    """The writes of a request, one for each item."""
    verb = "patch" if line["method"] == "PATCH" else "create"
    product = int(line["path"].rpartition("/")[2]) if verb == "patch" else None
    batch = isinstance(line["expects"], list)
    bodies = line["body"]["items"] if batch else [line["body"]]
    expects = line["expects"] if batch else [line["expects"]]
    for item, (body, expected) in enumerate(zip(bodies, expects, strict=True)):
        yield (
            *(line["op"], item, line["service"], line["action"], verb, line["key"] is not None, expected),
            *(product, line["if_match"]),
            *_columns(line["service"], body),
        )


def _answers(sent: Line, line: Line, number: int) -> Iterator[tuple[Any, ...]]:
    """What the end of a try says of each write of the request."""
    service, answer, status = sent["service"], line.get("answer"), line.get("status", 0)
    common = line.get("replayed", False), _text(line.get("etag"))
    if not isinstance(sent["expects"], list):
        row: dict[str, Any] = answer if isinstance(answer, dict) else {}
        yield (
            *(line["op"], 0, line["try"], number, False, line["event"], status, _text(line.get("problem")), *common),
            *(_integer(row.get("id")), *_columns(service, row)),
        )
        return
    for item in range(len(sent["expects"])):
        outcome, problem = line["event"], line.get("problem")
        row, kept = {}, False
        if outcome == "ok":
            result = line["answer"]["results"][item]
            status, row = result["status"], result["item"] if result["status"] == 201 else {}
            problem = str(result.get("problem", {}).get("type", "")).rpartition("/")[2] or None
            outcome = classify(status, problem, "item" in result)
            kept = outcome == "refused"  # with the batch's answer, which a later try gets again: it is final
        yield (
            *(line["op"], item, line["try"], number, kept, outcome, _integer(status), _text(problem), *common),
            *(_integer(row.get("id")), *_columns(service, row)),
        )


def _columns(service: str, row: dict[str, Any]) -> tuple[Any, ...]:
    """The values of _COLUMNS for a body, an answer or a row."""
    body = canonical(row)
    if service == "users":
        name, email = _text(row.get("name")), _text(row.get("email"))
        return email, name, email and email_key(email), *(None,) * 6, body, body
    if service == "products":
        name = _text(row.get("name"))
        core = canonical({key: value for key, value in row.items() if key != "price"})
        return name, name, None, cents(row.get("price")), *(None,) * 5, core, body
    triple = tuple(row.get(key) for key in ("user_id", "product_id", "quantity"))
    return (
        *(_text("/".join(map(str, triple))), None, None, cents(row.get("unit_price")), *map(_integer, triple)),
        *(_text(row.get("product_name")), cents(row.get("total")), body, body),
    )


def cents(price: Any) -> int | None:
    """A price as whole cents, from "19.99" or a JSON number; None for what is not a price in whole cents."""
    if isinstance(price, str):
        return int(price.replace(".", "")) if WRITTEN_PRICE.fullmatch(price) else None
    if isinstance(price, int | Decimal) and not isinstance(price, bool):
        amount = Decimal(price)
        if amount.is_finite() and abs(amount) <= LARGEST_PRICE and amount * 100 == int(amount * 100):
            return int(amount * 100)
    return None


def email_key(email: str) -> str:
    """What makes two e-mail addresses equal: Unicode NFC and case folding."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", email).casefold())


def canonical(row: dict[str, Any]) -> str:
    """A JSON object as a text that is equal for equal objects."""
    return json.dumps(row, sort_keys=True, separators=(",", ":"), default=str)


def _integer(value: Any) -> int | None:
    """An integer that SQLite can hold; None for all else."""
    return value if type(value) is int and abs(value) <= LARGEST_INTEGER else None


def _text(value: Any) -> str | None:
    """A text that SQLite can hold: of a lone surrogate its escape."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else None


def _marks(count: int) -> str:
    return ", ".join("?" * count)
