"""Coverage-guided fuzzing of one target: `python -m tests.fuzz answer --seconds 300`; `make fuzz` runs all of them.

What is found is written to the working directory as `crash-…`, and given again by `python -m tests.fuzz answer FILE`.
"""

import argparse
import sys
import tempfile
from pathlib import Path

try:
    import atheris
except ImportError:
    sys.exit("atheris is not installed: `make fuzz` installs it; it has wheels for Linux on x86-64 only.")

OURS = ["service_common", "loadgen", "orders_service", "products_service", "users_service", "tests"]
with atheris.instrument_imports(include=OURS):
    from .targets import SEEDS, TARGETS


def main() -> None:
    """Fuzz until the time is over, exit status 0, or until something is found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("inputs", nargs="*", type=Path, help="files to try, instead of inputs that are made up")
    parser.add_argument("--seconds", type=int, default=60)
    given = parser.parse_args()
    if given.inputs:
        for path in given.inputs:
            TARGETS[given.target](path.read_bytes())
        return
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{given.target}-") as corpus:
        for place, seed in enumerate(SEEDS[given.target]):
            (Path(corpus) / f"seed{place}").write_bytes(seed)
        limits = [
            f"-max_total_time={given.seconds}",
            "-max_len=4096",
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
        ]
        atheris.Setup([sys.argv[0], *limits, corpus], TARGETS[given.target])
        atheris.Fuzz()


main()
