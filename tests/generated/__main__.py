"""A long run of generated requests against the three services: `python -m tests.generated --examples 1000 --seed 7`."""

import argparse
import json
import random
import sys
import tempfile
from pathlib import Path

from testbed import Fleet

from .api import furnish, run

COLUMNS = ("cases", "accepted", "refused", "5xx", "rows wrongly written", "slowest in s")


def main() -> int:
    """Print the output of schemathesis and the figures. Return 1 if it found something, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.generated", description=__doc__)
    parser.add_argument(
        "--examples", type=int, default=700, help="generated requests an operation; 700 make 20,000 in all"
    )
    parser.add_argument("--seed", type=int, default=random.randrange(10**9), help="the seed of a run, to repeat it")
    given = parser.parse_args()
    found = 0
    all_figures = {}
    with tempfile.TemporaryDirectory(prefix="generated-") as directory:
        fleet = Fleet(Path(directory))
        try:
            furnish(fleet.start())
            for name in ("orders", "users", "products"):  # orders first: the others delete what orders need
                options = "--max-examples", str(given.examples), "--seed", str(given.seed)
                status, printed, all_figures[name] = run(fleet, name, *options)
                print(printed, json.dumps(all_figures[name], indent=1), sep="\n", flush=True)
                found += status != 0
        finally:
            fleet.stop()
    print("".join(f"{column:>22}" for column in ("", *COLUMNS)))
    for name, figures in all_figures.items():
        print(f"{name:>22}" + "".join(f"{figures[key]:>22,}" for key in COLUMNS))
    print(f"seed {given.seed}")
    return 1 if found else 0


sys.exit(main())
