"""`make bench`: this project beside its peers, in one run on one machine. Writes bench/results/."""

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from . import contenders, wrk
from .contenders import System

RESULTS = Path(__file__).with_name("results")
ORDER = '{"user_id": 1, "product_id": 1, "quantity": 2}'
USER = '{"name": "Ada", "email": "{n}@example.com"}'


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


@contextmanager
def running(*systems: System) -> Iterator[None]:
    try:
        for system in systems:
            say(f"starting {system.name}")
            system.start()
            if "orders" in system.commands:
                system.feed()
        yield
    finally:
        for system in systems:
            system.stop()


def interleaved(targets: dict[str, Callable[[], wrk.Sample]], rounds: int) -> dict[str, dict[str, float]]:
    """Measure the targets in turn, round after round, after one round that does not count."""
    samples: dict[str, list[wrk.Sample]] = {name: [] for name in targets}
    for number in range(rounds + 1):
        for name, measure in targets.items():
            sample = measure()
            if number:
                samples[name].append(sample)
            say(
                f"{'warm-up' if not number else f'round {number}':8} {name:18} {sample.rate:8.0f}/s  p99 {sample.p99_ms:7.1f} ms"
            )
    return {
        name: {
            "rate": statistics.median(s.rate for s in taken),
            "lowest": min(s.rate for s in taken),
            "highest": max(s.rate for s in taken),
            "p50_ms": statistics.median(s.p50_ms for s in taken),
            "p99_ms": statistics.median(s.p99_ms for s in taken),
        }
        for name, taken in samples.items()
    }


def sqlite_alone(directory: Path, group: int, rows: int) -> float:
    """Rows a second that SQLite commits by itself, in this process, in transactions of `group` rows."""
    db = apsw.Connection(str(directory / f"alone-{group}.db"))
    db.pragma("journal_mode", "wal")
    db.pragma("synchronous", "full")
    db.execute(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, user_id INT, product_id INT, quantity INT, name TEXT, cents INT)"
    )
    began = time.perf_counter()
    for first in range(0, rows, group):
        db.execute("BEGIN IMMEDIATE")
        for row in range(first, min(first + group, rows)):
            db.execute(
                "INSERT INTO t (user_id, product_id, quantity, name, cents) VALUES (?, 1, 2, 'Tea', 1999)", (row,)
            )
        db.execute("COMMIT")
    rate = rows / (time.perf_counter() - began)
    db.close()
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="that count")
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args()

    def load(url: str, body: str, connections: int = options.connections) -> Callable[[], wrk.Sample]:
        return lambda: wrk.post(url, body, connections=connections, seconds=options.seconds)

    results: dict[str, Any] = {
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "options": vars(options),
    }
    with tempfile.TemporaryDirectory(prefix="threefold-bench-") as scratch:
        directory = Path(scratch)
        ours = contenders.threefold(directory / "threefold")
        tutorial = contenders.tutorial(directory / "tutorial")
        fastapi = contenders.fastapi(directory / "fastapi")
        echo = contenders.echo(directory / "echo")
        with running(ours, tutorial, fastapi, echo):
            results["http"] = interleaved(
                {
                    "tutorial orders": load(f"{tutorial.url('orders')}/orders", ORDER),
                    "fastapi orders": load(f"{fastapi.url('orders')}/orders", ORDER),
                    "threefold orders": load(f"{ours.url('orders')}/orders", ORDER),
                    "threefold users": load(f"{ours.url('users')}/users", USER),
                    "echo": load(f"{echo.url('echo')}/echo", ORDER),
                },
                options.rounds,
            )
            results["resident_mb"] = ours.resident()
        say("SQLite alone")
        results["sqlite_rows_a_second"] = {
            group: statistics.median(sqlite_alone(Path(tempfile.mkdtemp(dir=scratch)), group, rows) for _ in range(3))
            for group, rows in ((1, 5_000), (64, 100_000), (1000, 200_000))
        }

    http = results["http"]
    orders, users = http["threefold orders"]["rate"], http["threefold users"]["rate"]
    results["ratios"] = {
        "orders / tutorial": orders / http["tutorial orders"]["rate"],
        "orders / fastapi": orders / http["fastapi orders"]["rate"],
        "orders / echo": orders / http["echo"]["rate"],
        "users / echo": users / http["echo"]["rate"],
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    table = ["| | a second (median) | lowest to highest | p50 ms | p99 ms |", "|---|---|---|---|---|"]
    for name, figures in http.items():
        table.append(
            f"| {name} | {figures['rate']:.0f} | {figures['lowest']:.0f} to {figures['highest']:.0f} "
            f"| {figures['p50_ms']:.1f} | {figures['p99_ms']:.1f} |"
        )
    table += ["", "| ratio | |", "|---|---|"]
    table += [f"| {name} | {value:.2f} |" for name, value in results["ratios"].items()]
    (RESULTS / "results.md").write_text("\n".join(table) + "\n")
    print("\n".join(table))
    say(f"written to {RESULTS}")


if __name__ == "__main__":
    sys.exit(main())
