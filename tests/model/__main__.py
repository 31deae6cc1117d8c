"""Check the stock protocol in every interleaving, and show how each wrong variant fails: `python -m tests.model [--big]`."""

import argparse
import sys

from . import backups, keys, variants
from .search import Case, Verdict, search

PROTOCOL = (*variants.SIZES, *keys.SIZES, *backups.SIZES)
VARIANTS = (*variants.VARIANTS, *keys.VARIANTS, *backups.VARIANTS)

START = "a process starts / an attempt starts / reserve arrives / the answer to reserve arrives / "


def main() -> int:
    """Print a line for each search, and the trace of each violation; the exit status is 1 where one is not as expected."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--big", action="store_true", help="also larger sizes: minutes, and gigabytes of memory")
    parser.add_argument(
        "--table", action="store_true", help="print the wrong variants as rows for docs/stock.md, no more"
    )
    given = parser.parse_args()
    if given.table:
        print("\n".join(row(case, search(case.machine)) for case in VARIANTS))
        return 0
    print("The protocol: every promise must hold.")
    right = [report(case) for case in (*PROTOCOL, *(variants.BIG_SIZES if given.big else ()))]
    print("\nWrong variants: each must fail, with the shortest trace.")
    right += [report(case) for case in VARIANTS]
    print(f"\n{sum(right)} of {len(right)} as expected")
    return 0 if all(right) else 1


def report(case: Case) -> bool:
    """Search, print the verdict, and return whether it is the expected one."""
    verdict = search(case.machine)
    expected = verdict.violation == case.violation
    print(f"{'' if expected else 'UNEXPECTED: '}{case.name}: {verdict.violation or 'holds'}", end="")
    print(f" ({verdict.states:,} states, {verdict.seconds:.1f} s)")
    if case.why:
        print(f"    {case.why}")
    if verdict.trace:
        print(f"    {' / '.join(verdict.trace)}")
    sys.stdout.flush()
    return expected


def row(case: Case, verdict: Verdict) -> str:
    """Return a wrong variant as a row of a Markdown table. `…` stands for the start that most traces share."""
    trace = " / ".join(verdict.trace)
    shortened = f"… / {trace.removeprefix(START)}" if trace.startswith(START) else trace
    return f"| {case.name} | {case.why} | {shortened}: **{verdict.violation}** |"


if __name__ == "__main__":
    sys.exit(main())
