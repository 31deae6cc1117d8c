"""`python -m chaos`: run a campaign; the exit status is the verdict, 0, 1 or 2."""

import argparse
import json
import os
import platform
import secrets
import signal
import sys
import time
import traceback
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .campaign import grouped, plan, run_group
from .engines import ENGINES
from .judge import UNDECIDED, Group, table, totals, verdict
from .load import FLOWING
from .system import NotHappened

WORDS = {0: "PASS: everything that was acknowledged is there, once.", 1: "FAIL.", 2: "NO VERDICT."}


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser("chaos", description=__doc__)
    parser.add_argument("--fault", default="", help="`short` (one of each kind), or the name of one")
    parser.add_argument(
        "--engine", choices=ENGINES, default="sqlite", help="docs/high-availability.md has swarm and nodes"
    )
    parser.add_argument(
        "--faults", type=int, default=0, help="injections in total; random pairs follow the single faults"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of order and pairs (default: new, and printed)")
    parser.add_argument("--flow", type=int, default=FLOWING, help="acknowledged writes before each fault (default 30)")
    parser.add_argument("--extra", action="append", default=[], help="another Compose file; swarm: a defect to plant")
    parser.add_argument("--reports", type=Path, default=Path("reports/chaos"), help="where histories are kept")
    options = parser.parse_args()
    known = ENGINES[options.engine].faults
    if options.fault and options.fault != "short" and options.fault not in known:
        parser.error(f"no fault is called {options.fault!r}: choose from short, {', '.join(known)}")
    options.seed = options.seed or secrets.randbelow(10**6) + 1
    return options


def main() -> int:
    """Run the campaign and return its verdict."""
    options = arguments()
    engine = ENGINES[options.engine]
    one = list(engine.short) if options.fault == "short" else [options.fault]
    rounds = plan(one if options.fault else list(engine.faults), options.faults, options.seed, engine.faults)
    began = time.monotonic()
    home = options.reports / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    home.mkdir(parents=True)
    planned = sum(map(len, rounds))
    print(f"Campaign in {home}, seed {options.seed}: {planned} faults in {len(rounds)} rounds", flush=True)
    groups: list[Group] = []
    trouble: list[str] = []
    for wired, batches in grouped(rounds):
        system = engine.system(wired, tuple(options.extra))
        try:
            system.up()
            for batch in batches:
                print(f"[{time.monotonic() - began:5.0f} s] load {len(groups) + 1}", flush=True)
                directory = home / f"load-{len(groups) + 1}"
                group = run_group(system, batch, directory, options.flow, engine.read_data)
                groups.append(group)
                print(f"  {'audited' if group.audited else 'not audited'}; so far {totals(groups)}", flush=True)
                save(home, options, groups, time.monotonic() - began, trouble)
                if not group.audited:  # its leftovers are unknown, so the next load could not be judged
                    trouble.append(f"load {len(groups)} was not audited: the other loads on its system are skipped")
                    break
        except NotHappened as error:
            trouble.append(str(error))
        except Exception as error:  # a defect of the campaign itself: no verdict, but clean up
            traceback.print_exc()
            trouble.append(f"the campaign itself failed: {error!r}")
        finally:
            try:
                system.down()
            except NotHappened as error:
                print(f"could not clean up: {error}", file=sys.stderr)
    show(groups)
    if (happened := totals(groups)["faults"]) < planned and not trouble:
        trouble.append(f"only {happened} of {planned} faults happened")
    result = save(home, options, groups, time.monotonic() - began, trouble)
    for reason in reasons(groups) + trouble:
        print(f"- {reason}")
    print(f"Totals: {totals(groups)}")
    print(f"{WORDS[result]} Seed {options.seed}. Report: {home / 'report.json'}")
    return result


def reasons(groups: list[Group]) -> list[str]:
    """Return everything that speaks against a pass."""
    found = [reason for group in groups for reason in (*group.violations, *group.flaws)]
    return found + [reason for group in groups for each in group.rounds for reason in (*each.violations, *each.trouble)]


def save(home: Path, options: argparse.Namespace, groups: list[Group], seconds: float, trouble: list[str]) -> int:
    """Write the report so far and return the verdict."""
    result = max(verdict(groups), UNDECIDED if trouble and verdict(groups) == 0 else 0)
    content = {
        "verdict": result,
        "seed": options.seed,
        "flow": options.flow,
        "fault": options.fault,
        "engine": options.engine,
        "began": home.name,
        "seconds": round(seconds),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "totals": totals(groups),
        "faults": table(groups),
        "reasons": reasons(groups) + trouble,
    }
    (home / "report.json").write_text(json.dumps(content, indent=1) + "\n")
    (home / "history.json").write_text(json.dumps([asdict(group) for group in groups], indent=1) + "\n")
    return result


def show(groups: list[Group]) -> None:
    """Print the table."""
    rows = table(groups)
    printed = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in rows[0] if rows else ():
        printed.add_column(name.replace("_", " "), justify="left" if name == "fault" else "right")
    for row in rows:
        printed.add_row(*("-" if cell is None else str(cell) for cell in row.values()))
    Console(width=None if sys.stdout.isatty() else 170).print(printed)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(UNDECIDED))  # so that containers are removed then, too
    sys.exit(main())
