"""Run many seeds of power cuts: `python -m tests.power --seeds 10000 --first 0`."""

import argparse
import os
import sys
import time
from collections import Counter
from multiprocessing import get_context

from .run import campaign


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.power", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="number of seeds (10000)")
    parser.add_argument("--first", type=int, default=0, help="first seed (0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (one for each core)")
    options = parser.parse_args()
    began, totals, losses = time.monotonic(), Counter[str](), 0
    with get_context("spawn").Pool(options.jobs) as pool:
        seeds = range(options.first, options.first + options.seeds)
        for done, (seed, counts, loss) in enumerate(pool.imap_unordered(campaign, seeds, chunksize=10), 1):
            totals += counts
            if loss:
                losses += 1
                print(f"seed {seed}: {loss}\n  again: python -m tests.power --seeds 1 --first {seed}", flush=True)
            if done % 500 == 0:
                print(f"{done} of {options.seeds} seeds, {time.monotonic() - began:.0f} s, {losses} losses", flush=True)
    print(f"{options.seeds} seeds in {time.monotonic() - began:.1f} s: {losses} with a loss")
    for name, count in sorted(totals.items()):
        print(f"  {count:>10,} {name}")
    return 1 if losses else 0 if totals["cuts"] and totals["acknowledged"] else 2


if __name__ == "__main__":
    sys.exit(main())
