"""`make bench`: this project beside its peers and its limits, in one run on one machine. Writes bench/results/."""

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from . import render, results
from .parts import Part, all_parts
from .results import Circumstances, Json
from .sampling import Progress, Settings
from .wrk import Failed

RESULTS = Path(__file__).with_name("results")
SMOKE = results.ROOT / "reports" / "bench"
SCRATCH = results.ROOT / "data"
INSTALL = {
    "wrk": "Debian: apt install wrk",
    "oha": "cargo install oha --version 1.16.0 --locked",
    "docker": "a Docker Engine with Compose",
}


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line. Ends the process where it cannot be used."""
    parts = all_parts()
    parser = argparse.ArgumentParser(
        "make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="parts:\n" + "\n".join(f"  {part.name:12} {part.what}" for part in parts.values()),
    )  # fmt: skip
    parser.add_argument("--only", default="", metavar="PART,PART", help="measure these; the others stay as they are")
    parser.add_argument("--short", action="store_true", help="a smoke run: all parts, tiny; into reports/bench")
    parser.add_argument("--render", action="store_true", help="measure nothing: table and plots from the JSON alone")
    parser.add_argument("--seconds", type=float, default=0, help="of each measurement; default 5")
    parser.add_argument("--rounds", type=int, default=0, help="that count; default 5")
    parser.add_argument("--results", type=Path, help=f"default {RESULTS.relative_to(results.ROOT)}")
    parser.add_argument(
        "--scratch", type=Path, default=SCRATCH, help="for databases, on the disk to be measured; default data"
    )
    options = parser.parse_args(given)
    options.parts = [name.strip() for name in options.only.split(",") if name.strip()] or list(parts)
    if unknown := [name for name in options.parts if name not in parts]:
        parser.error(f"no part is called {', '.join(unknown)}: choose of {', '.join(parts)}")
    options.seconds = options.seconds or (2.0 if options.short else 5.0)
    options.rounds = options.rounds or (1 if options.short else 5)
    options.results = options.results or (SMOKE if options.short else RESULTS)
    return options


def missing(names: Sequence[str]) -> str:
    """One line for the first program that a part needs and that is not here; empty where all are."""
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
    """Measure parts, each kept and rendered as soon as it is measured; a line for each that failed."""
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
        render.write(content, directory)
    return failures


def one(part: Part, settings: Settings, progress: Progress) -> Json:
    """What a part measured and under which circumstances, or why it failed."""
    around = Circumstances(settings)
    try:
        kept: Json = {"figures": part.run(settings, progress)}
    except Failed as error:
        kept = {"failed": " ".join(str(error).split())}
    except Exception as error:  # a defect of a part: the others are measured all the same
        traceback.print_exc()
        kept = {"failed": repr(error)}
    return {"measured": around.measured(ours="docker" not in part.needs), **kept}


def main(given: Sequence[str] | None = None) -> int:
    """Run it: 0, or 1 where a part failed, or 2 where nothing could begin."""
    options = arguments(given)
    try:
        # A run of everything begins anew, so that nothing of an older one is taken for its own.
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
    render.write(content, options.results)
    print("\n" + "\n".join(render.goals_table(content["parts"])))
    print(f"\n[{time.strftime('%H:%M:%S')}] {options.results / 'results.md'}")
    for failure in failures:
        print(f"FAILED {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
