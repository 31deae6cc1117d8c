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
from .faults import FAULTS, SHORT
from .judge import UNDECIDED, Group, table, totals, verdict
from .load import FLOWING
from .system import NotHappened, System

WORDS = {0: "PASS: everything that was acknowledged is there, once.", 1: "FAIL.", 2: "NO VERDICT."}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("chaos", description=__doc__)
    parser.add_argument("--fault", default="", help=f"one of {', '.join(FAULTS)}; or `short`: one of each kind")
    parser.add_argument("--faults", type=int, default=0, help="injections in all; beyond one of each, random pairs")
    parser.add_argument("--seed", type=int, default=0, help="of the order and the pairs; printed; default: a new one")
    parser.add_argument("--flow", type=int, default=FLOWING, help="acknowledged writes before each fault")
    parser.add_argument("--extra", action="append", default=[], help="a further Compose file")
    parser.add_argument("--reports", type=Path, default=Path("reports/chaos"), help="where the history is kept")
    options = parser.parse_args()
    if options.fault and options.fault != "short" and options.fault not in FAULTS:
        parser.error(f"no fault is called {options.fault!r}: choose short, {', '.join(FAULTS)}")
    options.seed = options.seed or secrets.randbelow(10**6) + 1
    return options


def main() -> int:
    """Run it; the verdict."""
    options = arguments()
    names = list(FAULTS) if not options.fault else list(SHORT) if options.fault == "short" else [options.fault]
    rounds = plan(names, options.faults, options.seed)
    began = time.monotonic()
    home = options.reports / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    home.mkdir(parents=True)
    planned = sum(map(len, rounds))
    print(f"Campaign in {home}, seed {options.seed}: {planned} faults in {len(rounds)} rounds", flush=True)
    groups: list[Group] = []
    trouble: list[str] = []
    for wired, batches in grouped(rounds):
        system = System(wired, tuple(options.extra))
        try:
            system.up()
            for batch in batches:
                print(f"[{time.monotonic() - began:5.0f} s] load {len(groups) + 1}", flush=True)
                group = run_group(system, batch, home / f"load-{len(groups) + 1}", options.flow)
                groups.append(group)
                print(f"  {'audited' if group.audited else 'not audited'}; so far {totals(groups)}", flush=True)
                save(home, options, groups, time.monotonic() - began, trouble)
                if not group.audited:  # what it has left is not known: the next could not be judged by it
                    trouble.append(f"load {len(groups)} was not audited: the rest on its system is left out")
                    break
        except NotHappened as error:
            trouble.append(str(error))
        except Exception as error:  # a defect of the campaign's own: no verdict, and what it made is removed
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
    """Everything that spoke against a pass."""
    found = [reason for group in groups for reason in (*group.violations, *group.flaws)]
    return found + [reason for group in groups for each in group.rounds for reason in (*each.violations, *each.trouble)]


def save(home: Path, options: argparse.Namespace, groups: list[Group], seconds: float, trouble: list[str]) -> int:
    """Write the report as it stands; the verdict."""
    result = max(verdict(groups), UNDECIDED if trouble and verdict(groups) == 0 else 0)
    content = {
        "verdict": result,
        "seed": options.seed,
        "flow": options.flow,
        "fault": options.fault,
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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(UNDECIDED))  # what was made is removed then, too
    sys.exit(main())
