"""The judge's tables: the ledger and the rows read back, in a scratch SQLite database that keeps memory flat.

    writes   one row for each write (an item of a batch is a write): what was sent, its `fate`, what was acknowledged
             (`ack_...`) and the last refusal that decided it (`decision`); `identity` says which row it explains,
             `product` is what a PATCH changes, or what stock is added to; `begun` is the line of its first try
    found    one row for each row read back; `ours` says that it belongs to this run
    answers  one row for each write and try that ended; `tells`: the key or the row had been looked at (answers.py)
    sends    one row for each try that began
    prices   the prices and the name that each product of this run may have had
    reads    the write that a GET had to show
    reserved, sold, stuck  tokens as products listed them: open reservations, sales, and reservations that stayed open
    at_rest  the stock of limited products once more, after all else was read
    supplies one row for each limited product of this run: the units supplied (`least` and `most`, where an addition
             stayed unknown), acknowledged, ordered, reserved and sold; `quiet`: nothing changed while it was read
    added    the units that were added to a limited product, and the line by which they were (LAST_LINE: unknown)

`core` is a row without the price and the stock of a product, which may change later; prices are whole cents, never
fractions. `units` are the stock of a product, or what a write adds to it.
"""

import json
import re
import sqlite3
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from .answers import KEY_REUSED, LAST_LINE, PROBLEMS, VALIDATION, classify, fate, scope, tells
from .ledger import Line, Row

WRITTEN_PRICE = re.compile(r"[0-9]{1,15}\.[0-9]{2}")
LARGEST_PRICE = 10**15  # of those that are compared at all; the contract ends at 10**6
LARGEST_INTEGER = 2**63 - 1

_COLUMNS = "identity, name, email_key, cents, user_id, product_id, quantity, product_name, total, units, core, body"
_WIDTH = _COLUMNS.count(",") + 1
_LOADED = f"""
CREATE TABLE sent (op INTEGER, item INTEGER, service TEXT, action TEXT, verb TEXT, keyed INTEGER, expects TEXT,
                   product INTEGER, if_match TEXT, {_COLUMNS});
CREATE TABLE sends (op INTEGER, try INTEGER, line INTEGER);
CREATE TABLE answers (op INTEGER, item INTEGER, try INTEGER, line INTEGER, outcome TEXT, status INTEGER, problem TEXT,
                      tells INTEGER, decides INTEGER, scope TEXT, replayed INTEGER, etag TEXT, id INTEGER, {_COLUMNS});
CREATE TABLE reads (op INTEGER, of_op INTEGER, of_item INTEGER);
CREATE TABLE completed (action TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE found (service TEXT, id INTEGER, ours INTEGER, {_COLUMNS});
CREATE TABLE reserved (token TEXT, product INTEGER, quantity INTEGER);
CREATE TABLE sold (token TEXT, product INTEGER, quantity INTEGER);
CREATE TABLE stuck (token TEXT, product INTEGER, quantity INTEGER);
CREATE TABLE at_rest (product INTEGER, stock INTEGER);
"""
_DERIVED = f"""
CREATE INDEX sends_op ON sends (op);
CREATE INDEX answers_op ON answers (op, item, try);
CREATE INDEX answers_line ON answers (line, item);
CREATE TABLE fates AS
    SELECT w.op, w.item, w.keyed, min(s.line) AS begun,
           min(CASE WHEN a.outcome = 'ok' THEN a.line END) AS acknowledged,
           max(CASE WHEN a.outcome IS NULL OR a.outcome = 'unknown' THEN coalesce(a.line, s.line) END) AS doubt,
           max(CASE a.scope WHEN 'all tries' THEN {LAST_LINE} WHEN 'earlier tries' THEN s.line END) AS refusal,
           coalesce(max(CASE WHEN a.decides AND a.tells THEN a.line END), max(CASE WHEN a.decides THEN a.line END))
               AS decided,
           max(CASE WHEN a.outcome = 'refused' THEN a.line END) AS refused
    FROM sent w JOIN sends s ON s.op = w.op
    LEFT JOIN answers a ON a.op = s.op AND a.item = w.item AND a.try = s.try
    GROUP BY w.op, w.item;
CREATE INDEX fates_op ON fates (op, item);
CREATE TABLE writes AS
    SELECT w.op, w.item, w.service, w.action, w.verb, w.keyed, w.expects, w.product, w.if_match,
           w.identity, w.name, w.email_key, w.cents, w.product_id, w.quantity, w.units, f.begun, f.acknowledged,
           fate(f.acknowledged, f.doubt, f.refusal, f.keyed) AS fate,
           a.id AS ack_id, a.etag AS ack_etag, a.cents AS ack_cents, a.units AS ack_units,
           a.core AS ack_core, a.body AS ack_body,
           r.status, r.problem, CASE WHEN r.decides THEN coalesce(r.problem, 'status ' || r.status) END AS decision
    FROM sent w JOIN fates f ON f.op = w.op AND f.item = w.item
    LEFT JOIN answers a ON a.line = f.acknowledged AND a.item = w.item
    LEFT JOIN answers r ON r.line = coalesce(f.decided, f.refused) AND r.item = w.item;
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
CREATE TABLE added AS
    SELECT product, units, fate, CASE fate WHEN 'ok' THEN acknowledged ELSE {LAST_LINE} END AS line
    FROM writes WHERE verb = 'stock' AND fate <> 'refused';
CREATE TABLE supplies AS
    SELECT w.ack_id AS product,
           w.units + (SELECT coalesce(sum(CASE a.fate WHEN 'ok' THEN a.units ELSE min(a.units, 0) END), 0)
                      FROM added a WHERE a.product = w.ack_id) AS least,
           w.units + (SELECT coalesce(sum(CASE a.fate WHEN 'ok' THEN a.units ELSE max(a.units, 0) END), 0)
                      FROM added a WHERE a.product = w.ack_id) AS most,
           EXISTS (SELECT 1 FROM found f JOIN at_rest r ON r.product = f.id AND r.stock IS f.units
                   WHERE f.service = 'products' AND f.id = w.ack_id) AS quiet,
           0 AS acknowledged, 0 AS ordered,
           (SELECT coalesce(sum(r.quantity), 0) FROM reserved r
            WHERE r.product = w.ack_id AND r.token NOT IN (SELECT token FROM sold)) AS reserved,
           (SELECT coalesce(sum(s.quantity), 0) FROM sold s WHERE s.product = w.ack_id) AS sold
    FROM writes w WHERE w.service = 'products' AND w.verb = 'create' AND w.fate = 'ok' AND w.units IS NOT NULL;
CREATE INDEX supplies_product ON supplies (product);
UPDATE supplies SET acknowledged = o.units FROM (
    SELECT product_id, sum(quantity) AS units FROM writes
    WHERE fate = 'ok' AND product_id IN (SELECT product FROM supplies) GROUP BY product_id
) o WHERE o.product_id = supplies.product;
UPDATE supplies SET ordered = o.units FROM (
    SELECT product_id, sum(quantity) AS units FROM (
        SELECT product_id, quantity FROM found WHERE service = 'orders' AND product_id IN (SELECT product FROM supplies)
        UNION ALL
        SELECT product_id, quantity FROM writes w
        WHERE w.fate = 'ok' AND w.product_id IN (SELECT product FROM supplies)
          AND NOT EXISTS (SELECT 1 FROM found f WHERE f.service = 'orders' AND f.id = w.ack_id)
    ) GROUP BY product_id
) o WHERE o.product_id = supplies.product;
"""
DERIVATIONS = [statement for statement in _DERIVED.split(";\n") if statement.strip()]  # to run once all is loaded


@dataclass
class Heading:
    """Facts about a whole ledger: the run's mark, its kinds of action, and the answers that tell nothing."""

    run: str = ""
    kinds: list[str] = field(default_factory=list)
    not_judged: Counter[str] = field(default_factory=Counter)  # requests by problem, or by status where that is unknown


def create_tables(db: sqlite3.Connection) -> None:
    """Create the tables that are loaded, and the functions that the derived ones need."""
    db.create_function("fate", 4, fate, deterministic=True)
    db.executescript(_LOADED)


def load_ledger(db: sqlite3.Connection, lines: Iterable[Line]) -> Heading:
    """Fill all tables but `found`."""
    heading = Heading()
    in_flight: dict[tuple[int, int], Line] = {}
    for number, line in enumerate(lines, start=1):
        if line["event"] == "run":
            heading.run, heading.kinds = line["run"], line["kinds"]
        elif line["event"] == "sent":
            in_flight[line["op"], line["try"]] = line
            db.execute("INSERT INTO sends VALUES (?, ?, ?)", (line["op"], line["try"], number))
            if line["reads"]:
                db.execute("INSERT INTO reads VALUES (?, ?, ?)", (line["op"], *line["reads"]))
            if line["try"] == 1 and line["method"] != "GET":
                db.executemany(f"INSERT INTO sent VALUES ({_marks(9 + _WIDTH)})", _sent(line))
        else:
            sent = in_flight.pop((line["op"], line["try"]))
            db.executemany(f"INSERT INTO answers VALUES ({_marks(13 + _WIDTH)})", _answers(sent, line, number))
            status, problem = line.get("status", 0), line.get("problem")
            expected = problem == VALIDATION == sent["expects"]
            if line["event"] == "ok" or (line["event"] == "refused" and (expected or tells("refused", 0, problem))):
                db.execute("INSERT OR IGNORE INTO completed VALUES (?)", (line["action"],))
            elif line["event"] == "refused" and status < 500:
                heading.not_judged[problem if problem in PROBLEMS else f"status {status}"] += 1
    return heading


def load_rows(db: sqlite3.Connection, rows: Iterable[Row], run: str) -> None:
    """Fill `found`, and the tables of tokens, with what was read back; what bears the mark `run` is ours."""

    def values() -> Iterator[tuple[Any, ...]]:
        for service, row in rows:
            if service == "at_rest":
                db.execute("INSERT INTO at_rest VALUES (?, ?)", (_integer(row["product_id"]), _integer(row["stock"])))
                continue
            if service in ("reserved", "sold", "stuck"):
                token = _text(row.get("token")), _integer(row.get("product_id")), _integer(row.get("quantity"))
                db.execute(f"INSERT INTO {service} VALUES (?, ?, ?)", token)
                continue
            ours = run in str(row.get("email", row.get("name", ""))).casefold()
            yield service, _integer(row.get("id")), ours, *_columns(service, row)

    db.executemany(f"INSERT INTO found VALUES ({_marks(3 + _WIDTH)})", values())


def _sent(line: Line) -> Iterator[tuple[Any, ...]]:
    """Yield the writes of a request, one for each item of a batch."""
    path = line["path"].split("/")
    verb = "patch" if line["method"] == "PATCH" else "stock" if path[-1] == "stock" else "create"
    product = int(path[2]) if verb != "create" else None
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
    """Yield the end of a try once for each write of the request."""
    expects = sent["expects"]
    whole = line.get("answer")
    for item, expected in enumerate(expects if isinstance(expects, list) else [expects]):
        outcome, status, problem = line["event"], line.get("status", 0), line.get("problem")
        body: dict[str, Any] = whole if isinstance(whole, dict) else {}
        telling, speaks_of = tells(outcome, status, problem), None
        if isinstance(expects, list):
            body = {}
            if outcome == "ok":
                outcome, status, problem, body = _result(line["answer"]["results"][item])
                speaks_of = "all tries" if outcome == "refused" else None  # stored with the batch's answer
        if outcome == "refused" and speaks_of is None:
            speaks_of = scope(problem, expected, sent["key"] is not None)
        stored = isinstance(expects, list) and line["event"] == "ok"
        decides = outcome == "refused" and problem != KEY_REUSED and (telling or stored or problem == VALIDATION)
        yield (
            *(line["op"], item, line["try"], number, outcome, _integer(status), _text(problem)),
            *(telling, decides, speaks_of, line.get("replayed", False), _text(line.get("etag"))),
            *(_integer(body.get("id")), *_columns(sent["service"], body)),
        )


def _result(result: dict[str, Any]) -> tuple[str, int, str | None, dict[str, Any]]:
    """Return outcome, status, problem and body of one item of a batch's answer."""
    status = result["status"]
    if status == 201:
        return "ok", status, None, result["item"]
    problem = str(result["problem"].get("type", "")).rpartition("/")[2] or None
    outcome = "refused" if 400 <= status < 500 else classify(status, problem, False)
    return outcome, status, problem, result["problem"]


def _columns(service: str, row: dict[str, Any]) -> tuple[Any, ...]:
    """Return the values of _COLUMNS for a body, an answer or a row."""
    body = canonical(row)
    if service == "users":
        name, email = _text(row.get("name")), _text(row.get("email"))
        return email, name, email and email_key(email), *(None,) * 7, body, body
    if service == "products":
        name = _text(row.get("name"))
        lasting = {key: value for key, value in row.items() if key not in ("price", "stock")}
        core = canonical(lasting | {"limited": row.get("stock") is not None})
        units = _integer(row.get("stock", row.get("add")))
        return name, name, None, cents(row.get("price")), *(None,) * 5, units, core, body
    triple = tuple(row.get(key) for key in ("user_id", "product_id", "quantity"))
    return (
        *(_text("/".join(map(str, triple))), None, None, cents(row.get("unit_price")), *map(_integer, triple)),
        *(_text(row.get("product_name")), cents(row.get("total")), None, body, body),
    )


def cents(price: Any) -> int | None:
    """Return a price as whole cents, from "19.99" or a JSON number; None for anything else."""
    if isinstance(price, str):
        return int(price.replace(".", "")) if WRITTEN_PRICE.fullmatch(price) else None
    if isinstance(price, int | Decimal) and not isinstance(price, bool):
        amount = Decimal(price)
        if amount.is_finite() and abs(amount) <= LARGEST_PRICE and amount * 100 == int(amount * 100):
            return int(amount * 100)
    return None


def email_key(email: str) -> str:
    """Return the form in which equal e-mail addresses are equal texts: Unicode NFC and case folding."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", email).casefold())


def canonical(row: dict[str, Any]) -> str:
    """Return a JSON object as a text that is equal for equal objects."""
    return json.dumps(row, sort_keys=True, separators=(",", ":"), default=str)


def _integer(value: Any) -> int | None:
    """Return an integer that SQLite can hold; None for anything else."""
    return value if type(value) is int and abs(value) <= LARGEST_INTEGER else None


def _text(value: Any) -> str | None:
    """Return a text that SQLite can hold, with lone surrogates escaped; None for anything else."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else None


def _marks(count: int) -> str:
    return ", ".join("?" * count)
