"""Orders and users a second compared with the peers and the ceiling of the stack, and the CPU time of a request."""

import os
import re
import shutil
import signal
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import requests

from testbed import kernel

from .. import contenders
from ..contenders import System, running
from ..sampling import ORDER, USER, Progress, Settings, interleaved, load
from ..tools.wrk import Failed
from . import Part

CHECKED = 5  # orders, one after the other; each must sync the log before its answer


def run(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Return the series of each target, and what was observed of each contender's durability."""
    kinds = {"tutorial": contenders.tutorial, "fastapi": contenders.fastapi, "threefold": contenders.threefold}
    durability = {name: durable(make(settings.scratch / f"{name}-traced")) for name, make in kinds.items()}
    for name, seen in durability.items():
        progress.note(f"{name}: {seen}")
    tutorial, fastapi, ours = (make(settings.scratch / name) for name, make in kinds.items())
    echo = contenders.echo(settings.scratch / "echo")
    with running(tutorial, fastapi, ours, echo):
        for system in (tutorial, fastapi, ours):
            system.feed()
        targets = {
            "tutorial orders": (tutorial, "orders", ORDER),
            "fastapi orders": (fastapi, "orders", ORDER),
            "threefold orders": (ours, "orders", ORDER),
            "threefold users": (ours, "users", USER),
            "echo": (echo, "echo", ORDER),
        }
        series = interleaved(
            {name: load(system, service, body, settings) for name, (system, service, body) in targets.items()},
            settings,
            progress,
        )
    return {"series": series, "durability": durability}


def durable(system: System) -> str:
    """Observe a contender's durability from outside: the journal of its file, the syncs of its orders.

    Raises:
        Failed: it has no write-ahead log, or answers orders without a sync for each.
    """
    trace = system.directory / "orders.trace"
    commands = system.commands
    if watched := shutil.which("strace") is not None:
        strace = ["strace", "-f", "--seccomp-bpf", "-y", "-e", "trace=fsync,fdatasync", "-o", str(trace)]
        commands = commands | {"orders": [*strace, *commands["orders"]]}
    traced = replace(system, commands=commands)
    with running(traced):
        try:
            before, after, mode = order_in_turn(traced, trace)
        finally:
            if watched:  # strace ends when the process that it watches has ended
                os.kill(kernel.tree(traced.servers["orders"].pid)[1], signal.SIGTERM)
    if mode != "wal":
        raise Failed(f"{system.name}: the journal mode is {mode}, not wal: it cannot be compared")
    if not watched:
        return "write-ahead log; syncs were not counted, because strace is missing"
    if after - before < CHECKED:
        raise Failed(
            f"{system.name}: {CHECKED} orders in turn synced the log {after - before} times: not the same durability"
        )
    return f"write-ahead log, synced {after - before} times by {CHECKED} orders in turn"


def order_in_turn(system: System, trace: Path) -> tuple[int, int, str]:
    """Create orders one after the other. Return the syncs before and after, and the journal mode. Raises Failed."""
    system.feed()
    before = syncs(trace)
    # Hold a connection open: when the last one closes, the log is synced, too.
    with closing(sqlite3.connect(f"file:{system.path('orders')}?mode=ro", uri=True)) as held:
        held.execute("SELECT count(*) FROM orders").fetchone()
        for _ in range(CHECKED):
            body = {"user_id": 1, "product_id": 1, "quantity": 2}
            if requests.post(system.collection("orders"), json=body, timeout=30).status_code != 201:
                raise Failed(f"{system.name}: an order was refused")
        after = syncs(trace)
    return before, after, system.journal_mode("orders")


def syncs(trace: Path) -> int:
    """Count the syncs of a write-ahead log in the output of strace; 0 without one."""
    if not trace.exists():
        return 0
    calls = re.findall(r"f(?:data)?sync\(\d+<[^>]*-wal>", trace.read_text())
    return len(calls)


def planned(settings: Settings) -> float:
    return settings.planned(5)


PARTS = (Part("peers", "orders and users a second compared with the peers, and the CPU time of each", run, planned),)
