"""The audit of the database files: what SQLite says of them, and whether they hold what was acknowledged.

It reads the files themselves, in their containers, and shares no code with the services.
"""

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .system import SERVICES, System

IDENTITY = {"users": "email", "products": "name", "orders": "user_id || '/' || product_id || '/' || quantity"}
SCRIPT = """
import json, sqlite3, sys
service, identity = sys.argv[1:]
db = sqlite3.connect(f"file:/data/{service}.db?mode=ro", uri=True)
print(json.dumps(db.execute("PRAGMA integrity_check").fetchone()[0]))
kept = []
for body, in db.execute("SELECT body FROM idempotency_keys WHERE status < 300"):
    answer = json.loads(body)
    kept += [each["item"]["id"] for each in answer.get("results", [{"item": answer}]) if "item" in each]
rows = db.execute(f"SELECT id, {identity} FROM {service} ORDER BY id").fetchall()
print(len(kept) - len(set(kept)) + len(set(kept) ^ {row[0] for row in rows}))
for row in rows:
    print(json.dumps(row))
"""
Rows = dict[int, str]


@dataclass
class File:
    """What a database file holds: its rows, and of how many rows not one key's answer tells, or of no row."""

    rows: Rows
    unkeyed: int = 0


def identity_of(service: str, item: dict[str, Any]) -> str:
    """What a row is known by, from its answer."""
    if service == "orders":
        return f"{item['user_id']}/{item['product_id']}/{item['quantity']}"
    return str(item["email" if service == "users" else "name"])


def acknowledged(history: Iterable[dict[str, Any]]) -> dict[str, set[tuple[int, str]]]:
    """From a ledger's lines, every created row that was acknowledged: by service, its id and what it is known by.

    Pairs, since an id whose row was lost may have been given to another.
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


def read_files(system: System) -> tuple[dict[str, File], list[str]]:
    """What each file holds, and what its integrity check found. Raises NotHappened: one cannot be read."""
    files, damage = {}, []
    for service in SERVICES:
        command = ("exec", system.container(service), "env", "-u", "LD_PRELOAD", "python", "-I", "-S", "-c", SCRIPT)
        check, unkeyed, *lines = system.docker(*command, service, IDENTITY[service]).splitlines()
        files[service] = File(dict(map(json.loads, lines)), int(unkeyed))
        if (said := json.loads(check)) != "ok":
            damage.append(f"{service}: {said}")
    return files, damage


def compare(
    expected: dict[str, set[tuple[int, str]]], files: dict[str, File], audited: dict[str, Rows], read_back: Path
) -> dict[str, int]:
    """What is wrong with the files, as counts of rows.

    `expected` was acknowledged in this run; `audited` is what the files held at the end of the run before, which must
    still be there, with nothing new among it; `read_back` is what this run's audit read over HTTP. Every write had a
    key, so each row has its answer under one, and each answer its row.
    """
    over_http: dict[str, Rows] = {service: {} for service in SERVICES}
    with read_back.open() as file:
        for service, item in map(json.loads, file):
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
