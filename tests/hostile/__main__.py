"""`python -m tests.hostile`: run every flood at full size and print a table."""

import argparse
import tempfile
from pathlib import Path

from testbed import Fleet

from .floods import FLOODS, HEADINGS, all_floods, furnish


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("floods", nargs="*", help=f"some of {', '.join(flood.attack.__name__ for flood in FLOODS)}")
    parser.add_argument("--seconds", type=float, default=15, help="duration of each flood")
    parser.add_argument("--share", type=float, default=1, help="share of each flood's connections")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        fleet = Fleet(Path(directory), env={"ACCESS_LOG": "true"})
        try:
            fleet.start()
            furnish(fleet)
            print(HEADINGS)
            for seen in all_floods(fleet, given.share, given.seconds, given.floods):
                print(seen.line(), flush=True)
                if seen.failed:
                    print(dict(seen.failed))
        finally:
            fleet.stop()


if __name__ == "__main__":
    main()
