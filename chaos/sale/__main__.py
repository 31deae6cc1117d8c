"""`python -m chaos.sale`: a flash sale while orders and products are killed; the exit status is the verdict, 0, 1 or 2.

Ledger and database files are judged as in a campaign. What this adds are the figures of the sale: the units sold, the
requests sent again, and the time until no unit was reserved any more.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any

import requests

from loadgen.audit.ledger import read

from ..campaign import judge_load
from ..databases.files import acknowledged, compare, read_files
from ..databases.stock import Stock, compare_stock, supplied
from ..faults import kill
from ..judge import UNDECIDED, VIOLATED, Group
from ..load import Load
from ..system import NotHappened, System

KILLED = ("orders", "products")
LOOK_EVERY_S = 0.1
AUDIT_S = 900.0  # seconds to settle, read back and audit
WORDS = {0: "PASS: no unit was oversold, lost, or left reserved.", 1: "FAIL.", 2: "NO VERDICT."}


class OpenReservations:
    """Looks at the open reservations all the time."""

    def __init__(self, products_url: str) -> None:
        self.last_s = 0.0  # when one was open, by the monotonic clock
        self._url = f"{products_url}/products/reservations?limit=1"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            try:
                answer = requests.get(self._url, timeout=5)
                if answer.status_code == 200 and answer.json()["items"]:
                    self.last_s = time.monotonic()
            except requests.RequestException:  # products was killed a moment ago
                continue

    def end(self) -> float:
        """Look no more. Return when a reservation was open last."""
        self._ended.set()
        self._thread.join()
        return self.last_s


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser("chaos.sale", description=__doc__)
    parser.add_argument("--writes", type=int, default=100_000, help="attempts; a tenth as many units are for sale")
    parser.add_argument("--every", type=float, default=6.0, help="seconds between kills; orders and products in turn")
    parser.add_argument("--reports", type=Path, default=Path("reports/sale"), help="where ledger and report are kept")
    return parser.parse_args()


def disturb(system: System, load: Load, every_s: float) -> tuple[int, float]:
    """Kill orders and products in turn for as long as the load sends. Return the number of kills, and when it ended."""
    turns, kills, due = cycle(KILLED), 0, time.monotonic() + every_s
    while load.sends:
        if time.monotonic() >= due:
            service = next(turns)
            for proof, _ in kill(service, system):
                print(f"  {proof}", flush=True)
            kills += 1
            due = time.monotonic() + every_s
        time.sleep(LOOK_EVERY_S)
    return kills, time.monotonic()


def run(system: System, writes: int, every_s: float, directory: Path) -> dict[str, Any]:
    """Sell, kill, and judge. Return the report. Raises NotHappened: there is no verdict."""
    system.up()
    watch = OpenReservations(system.url("products"))
    load = Load(system, directory, options=("--scenario", "flash-sale", "--writes", str(writes)))
    began = time.monotonic()
    try:
        kills, ended = disturb(system, load, every_s)
        report = load.finish(AUDIT_S)
        tries = load.tries
    finally:
        load.kill()
        last_open = watch.end()
    group = Group([])
    judge_load(group, report)
    files, stock, damage = read_files(system)
    ledger = supplied(read(load.ledger))
    found = compare(acknowledged(read(load.ledger)), files, {}, Path(report["read_back"]))
    found |= compare_stock(ledger, stock)
    group.counts |= found
    group.violations += damage + [f"{name}: {number}" for name, number in found.items() if number]
    if not kills:
        group.flaws.append("nothing was killed: sell more, or kill sooner")
    return {
        "verdict": VIOLATED if group.violations else UNDECIDED if group.flaws else 0,
        "reasons": group.violations + group.flaws,
        "cores": os.cpu_count(),
        "seconds": round(ended - began),
        "attempted": group.attempted,
        "acknowledged": group.acknowledged,
        "kills": kills,
        **units(ledger, stock),
        "unanswered": sum(tried.outcome == "unknown" and tried.method == "POST" for tried in tries),
        "sent_again": sum(tried.retried and tried.method == "POST" for tried in tries),
        "stock_held": sum(tried.problem == "stock-held" for tried in tries),
        "settled_after_s": round(max(0.0, last_open - ended), 1),
        "counts": group.counts,
    }


def units(supply: dict[int, int], stock: Stock) -> dict[str, int]:
    """Return the sums of units over all limited products."""
    return {
        "units_supplied": sum(supply.values()),
        "units_sold": sum(quantity for _, quantity in stock.sold.values()),
        "units_ordered": sum(quantity for _, quantity in stock.ordered.values()),
        "units_reserved": sum(quantity for _, quantity in stock.reserved.values()),
        "units_left": sum(stock.left.values()),
    }


def main() -> int:
    """Run one sale and return its verdict."""
    options = arguments()
    directory = options.reports / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    print(f"Sale in {directory}: {options.writes:,} attempts, a kill every {options.every:g} s", flush=True)
    system = System()
    try:
        report = run(system, options.writes, options.every, directory)
    except NotHappened as error:
        report = {"verdict": UNDECIDED, "reasons": [str(error)]}
    finally:
        system.down()
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "sale.json").write_text(json.dumps(report, indent=1) + "\n")
    for name, figure in report.items():
        if isinstance(figure, int | float) and name != "verdict":
            print(f"{name.replace('_', ' '):16}{figure:>12,}")
    for reason in report["reasons"]:
        print(f"- {reason}")
    print(f"{WORDS[report['verdict']]} Report: {directory / 'sale.json'}")
    return int(report["verdict"])


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(UNDECIDED))  # so that containers are removed then, too
    sys.exit(main())
