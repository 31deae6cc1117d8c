"""The audit of the database files: what SQLite says of them, and whether they hold what was acknowledged.

It reads the files themselves, in their containers, and shares no code with the services.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .system import SERVICES, System

IDENTITY = {"users": "email", "products": "name", "orders": "user_id || '/' || product_id || '/' || quantity"}
SCRIPT = """
import json, sqlite3, sys
service, identity = sys.argv[1:]
db = sqlite3.connect(f"file:/data/{service}.db?mode=ro", uri=True)
print(json.dumps(db.execute("PRAGMA integrity_check").fetchone()[0]))
for row in db.execute(f"SELECT id, {identity} FROM {service} ORDER BY id"):
    print(json.dumps(row))
"""
Rows = dict[int, str]


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


def read_files(system: System) -> tuple[dict[str, Rows], list[str]]:
    """The rows of each file, and what its integrity check found. Raises NotHappened: one cannot be read."""
    rows, damage = {}, []
    for service in SERVICES:
        command = ("exec", system.container(service), "env", "-u", "LD_PRELOAD", "python", "-I", "-S", "-c", SCRIPT)
        check, *lines = system.docker(*command, service, IDENTITY[service]).splitlines()
        rows[service] = dict(map(json.loads, lines))
        if (said := json.loads(check)) != "ok":
            damage.append(f"{service}: {said}")
    return rows, damage


def compare(expected: dict[str, set[tuple[int, str]]], files: dict[str, Rows], read_back: Path) -> dict[str, int]:
    """How many acknowledged rows the files lack or hold as another, and by how many rows files and HTTP differ."""
    lost = sum(files[service].get(id) != known for service, rows in expected.items() for id, known in rows)
    over_http: dict[str, Rows] = {service: {} for service in SERVICES}
    with read_back.open() as file:
        for service, item in map(json.loads, file):
            over_http[service][item["id"]] = identity_of(service, item)
    differing = 0
    for service, rows in over_http.items():
        first = min(rows, default=0)
        differing += len({item for item in files[service].items() if item[0] >= first} ^ set(rows.items()))
    return {"lost in file": lost, "file and HTTP differ": differing}
