"""`make bench`: compare this project with its peers and its limits, in one run. Writes bench/results/."""

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from testbed import ROOT

from .parts import Part, all_parts
from .report import page, results
from .report.results import Circumstances, Json
from .sampling import Progress, Settings
from .tools.wrk import Failed

RESULTS = Path(__file__).with_name("results")
SMOKE = ROOT / "reports" / "bench"
SCRATCH = ROOT / "data"
INSTALL = {
    "wrk": "Debian: apt install wrk",
    "oha": "cargo install oha --version 1.16.0 --locked",
    "docker": "a Docker Engine with Compose",
}


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line. Exits where it cannot be used."""
    parts = all_parts()
    parser = argparse.ArgumentParser(
        "make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="parts:\n" + "\n".join(f"  {part.name:12} {part.what}" for part in parts.values()),
    )  # fmt: skip
    parser.add_argument("--only", default="", metavar="PART,PART", help="measure these; the others stay as they are")
    parser.add_argument("--short", action="store_true", help="a smoke run of tiny measurements, into reports/bench")
    parser.add_argument("--render", action="store_true", help="measure nothing; make page and plots anew from the JSON")
    parser.add_argument("--seconds", type=float, default=0, help="seconds of each measurement (default 5)")
    parser.add_argument("--rounds", type=int, default=0, help="rounds that count (default 5)")
    parser.add_argument("--results", type=Path, help=f"where results are kept (default {RESULTS.relative_to(ROOT)})")
    parser.add_argument(
        "--scratch",
        type=Path,
        default=SCRATCH,
        help="directory for databases, on the disk to be measured (default data)",
    )
    options = parser.parse_args(given)
    options.parts = [name.strip() for name in options.only.split(",") if name.strip()] or list(parts)
    if unknown := [name for name in options.parts if name not in parts]:
        parser.error(f"no part is called {', '.join(unknown)}: choose from {', '.join(parts)}")
    options.seconds = options.seconds or (2.0 if options.short else 5.0)
    options.rounds = options.rounds or (1 if options.short else 5)
    options.results = options.results or (SMOKE if options.short else RESULTS)
    return options


def missing(names: Sequence[str]) -> str:
    """Return one line about the first program that a part needs and that is missing; empty where none is."""
    parts = all_parts()
    for program, how in INSTALL.items():
        lacking = [name for name in names if program in parts[name].needs]
        if lacking and shutil.which(program) is None:
            others = [name for name in names if name not in lacking]
            instead = f", or measure the rest: make bench ONLY={','.join(others)}" if others else ""
            return (
                f"{', '.join(lacking)} need{'s' if len(lacking) == 1 else ''} {program}: install it ({how}){instead}."
            )
    return ""


def measure(names: Sequence[str], settings: Settings, content: Json, directory: Path) -> list[str]:
    """Measure parts, and save each as soon as it is measured. Return a line for each that failed."""
    parts = [all_parts()[name] for name in names]
    progress = Progress(sum(part.planned(settings) for part in parts), say=lambda line: print(line, flush=True))
    failures = []
    for part in parts:
        progress.begin(part.name)
        progress.note(f"{part.what}{progress.left()}")
        outcome = one(part, settings, progress)
        if "failed" in outcome:
            failures.append(f"{part.name}: {outcome['failed']}")
            progress.note(f"FAILED: {outcome['failed']}")
        content["parts"][part.name] = outcome
        results.save(directory, content)
        page.write(content, directory)
    return failures


def one(part: Part, settings: Settings, progress: Progress) -> Json:
    """Return the figures of a part and its circumstances, or why it failed."""
    around = Circumstances(settings)
    try:
        kept: Json = {"figures": part.run(settings, progress)}
    except Failed as error:
        kept = {"failed": " ".join(str(error).split())}
    except Exception as error:  # a defect of one part must not cost the others
        traceback.print_exc()
        kept = {"failed": repr(error)}
    return {"measured": around.measured(ours="docker" not in part.needs), **kept}


def main(given: Sequence[str] | None = None) -> int:
    """Run it. Return 0, or 1 where a part failed, or 2 where nothing could begin."""
    options = arguments(given)
    try:
        # A run of all parts starts from nothing, so that no older figure passes for one of its own.
        anew = not options.only and not options.render
        content: Json = {"parts": {}} if anew else results.load(options.results)
    except (ValueError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    failures: list[str] = []
    if not options.render:
        if lack := missing(options.parts):
            print(f"bench: {lack}", file=sys.stderr)
            return 2
        options.scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="bench-", dir=options.scratch) as scratch:
            settings = Settings(Path(scratch).absolute(), options.seconds, options.rounds, options.short)
            failures = measure(options.parts, settings, content, options.results)
    elif not content["parts"]:
        print(f"bench: {options.results / results.FILE} holds nothing to render", file=sys.stderr)
        return 2
    page.write(content, options.results)
    print(f"\n[{time.strftime('%H:%M:%S')}] {options.results / 'results.md'}")
    for failure in failures:
        print(f"FAILED {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
