"""The audit of the database files: SQLite's integrity check, and a comparison with the acknowledged writes.

It reads the files inside their containers, and shares no code with the services.
"""

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..system import SERVICES, System
from .stock import Stock

IDENTITY = {"users": "email", "products": "name", "orders": "user_id || '/' || product_id || '/' || quantity"}
SCRIPT = """
import json, sqlite3, sys
service, identity = sys.argv[1:]
db = sqlite3.connect(f"file:/data/{service}.db?mode=ro", uri=True)
print(json.dumps(db.execute("PRAGMA integrity_check").fetchone()[0]))
kept = []
for status, body in db.execute("SELECT status, body FROM idempotency_keys WHERE status < 300"):
    answer = json.loads(body)
    if "results" in answer or status == 201:  # else no row was made, but stock added to one
        kept += [each["item"]["id"] for each in answer.get("results", [{"item": answer}]) if "item" in each]
rows = db.execute(f"SELECT id, {identity} FROM {service} ORDER BY id").fetchall()
print(len(kept) - len(set(kept)) + len(set(kept) ^ {row[0] for row in rows}))
units = {
    "products": {
        "left": "SELECT id, stock FROM products WHERE stock IS NOT NULL",
        "reserved": "SELECT token, product_id, quantity FROM reservations",
        "sold": "SELECT token, product_id, quantity FROM sales",
    },
    "orders": {"ordered": "SELECT token, product_id, quantity FROM orders WHERE token IS NOT NULL"},
}
print(json.dumps({name: db.execute(sql).fetchall() for name, sql in units.get(service, {}).items()}))
for row in rows:
    print(json.dumps(row))
"""
Rows = dict[int, str]


@dataclass
class File:
    """The content of a database file: its rows, and how many rows have no kept answer or answers no row."""

    rows: Rows
    unkeyed: int = 0


Reader = Callable[[Any], tuple[dict[str, File], Stock, list[str]]]  # of a system: its rows, its units, and the damage


def identity_of(service: str, item: dict[str, Any]) -> str:
    """Return the text that identifies a row, from its answer."""
    if service == "orders":
        return f"{item['user_id']}/{item['product_id']}/{item['quantity']}"
    return str(item["email" if service == "users" else "name"])


def acknowledged(history: Iterable[dict[str, Any]]) -> dict[str, set[tuple[int, str]]]:
    """Return every acknowledged row in a ledger, by service, as pairs of id and identifying text.

    Pairs, because the id of a lost row may have been given to another.
    """
    services: dict[int, str] = {}
    rows: dict[str, set[tuple[int, str]]] = {service: set() for service in SERVICES}
    for line in history:
        if line["event"] == "sent" and line["method"] == "POST":
            services[line["op"]] = line["service"]
        elif line["event"] == "ok" and (service := services.get(line["op"])):
            answer = line["answer"]
            items = [result.get("item") for result in answer["results"]] if "results" in answer else [answer]
            rows[service].update((item["id"], identity_of(service, item)) for item in items if item)
    return rows


def read_files(system: System) -> tuple[dict[str, File], Stock, list[str]]:
    """Return the content of each file, the units in all of them, and the damage that integrity checks found.

    Raises:
        NotHappened: a file cannot be read.
    """
    files, stock, damage = {}, Stock(), []
    for service in SERVICES:
        command = ("exec", system.container(service), "env", "-u", "LD_PRELOAD", "python", "-I", "-S", "-c", SCRIPT)
        check, unkeyed, units, *lines = system.docker(*command, service, IDENTITY[service]).splitlines()
        files[service] = File(dict(map(json.loads, lines)), int(unkeyed))
        stock.add(json.loads(units))
        if (said := json.loads(check)) != "ok":
            damage.append(f"{service}: {said}")
    return files, stock, damage


def compare(
    expected: dict[str, set[tuple[int, str]]], files: dict[str, File], audited: dict[str, Rows], read_back: Path
) -> dict[str, int]:
    """Count the rows that are wrong in the files.

    `expected` was acknowledged in this run. `audited` was in the files at the end of the run before: it must still be
    there, with nothing new among it. `read_back` is a file of the rows that this run's audit read over HTTP. Every
    write had a key, so each row has a kept answer, and each kept answer has its row.
    """
    over_http: dict[str, Rows] = {service: {} for service in SERVICES}
    with read_back.open() as file:
        for service, item in map(json.loads, file):
            if service not in over_http:
                continue  # a token of a limited product: see stock.py
            over_http[service][item["id"]] = identity_of(service, item)
    lost = doubled = invented = differing = 0
    for service, held in files.items():
        before = audited.get(service, {})
        lost += sum(held.rows.get(id) != known for id, known in expected[service] | set(before.items()))
        doubled += len(held.rows) - len(set(held.rows.values()))
        first = min(over_http[service], default=sys.maxsize)
        invented += sum(id not in before for id in held.rows if id < first or id <= max(before, default=0))
        differing += len({row for row in held.rows.items() if row[0] >= first} ^ set(over_http[service].items()))
    named = [known.split("/") for known in files["orders"].rows.values()]
    users, products = files["users"].rows, files["products"].rows
    return {
        "lost in file": lost,
        "duplicated in file": doubled,
        "invented in file": invented,
        "dangling in file": sum(int(user) not in users or int(product) not in products for user, product, _ in named),
        "row and key apart": sum(held.unkeyed for held in files.values()),
        "file and HTTP differ": differing,
    }
