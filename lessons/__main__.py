"""The command line of the course: list the lessons, run one, show its fault."""

import argparse
import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from testbed.postgres import find_programs

from . import costs, patches
from .catalog import LESSONS, Lesson, find
from .running import NotRun, Result, run

REPORTS = Path(os.environ.get("REPORT_DIR") or "reports")
CAUGHT, NOT_CAUGHT, NOT_RUN = 0, 1, 2  # exit status


def show_list() -> None:
    """Print all lessons."""
    for number, lesson in enumerate(LESSONS, start=1):
        print(f"{number:>3}  {lesson.name:<21}{lesson.question}")
    print("\nmake lesson N=1 runs the first one. docs/lessons/README.md explains them.")


def begin(lesson: Lesson, code: Path) -> None:
    """Print what is about to happen."""
    print(f"{LESSONS.index(lesson) + 1}. {lesson.name}: {lesson.question}\n")
    print(f"The fault, in {lesson.service}:\n\n{patches.read(lesson.name)}")
    print(f"The code that runs is in {code}")
    print(f"Load: {lesson.writes:,} writes by {lesson.users} virtual users", flush=True)
    for event in lesson.events:
        print(f"  {event.said(lesson.on_disk)}", flush=True)


def show(result: Result) -> None:
    """Print what the report shows."""
    report, lesson = result.report, result.lesson
    print(f"\n{report['summary']}")
    if result.is_caught and not report["verdict"]:
        print("The audit passes, since no row is wrong. The fault shows in another line:")
    print(f"  {'✗' if result.is_caught else '✓'} {lesson.line}: {result.figure:,.0f}")
    for each in report["invariants"]:
        if each["name"] == lesson.line and each["count"]:
            print(f"    for example: {'; '.join(each['examples'][:3])}")
    if result.is_caught:
        print(f"\n{lesson.look}")
    print(f"Report: {result.page}")


def stay(result: Result) -> None:
    """Print what the report shows, and leave the services and the page running until Ctrl-C."""
    show(result)
    print("The page is at http://127.0.0.1:8089. Ctrl-C ends everything.", flush=True)
    with suppress(KeyboardInterrupt):
        signal.pause()


def compare(wanted: Lesson, code: Path) -> None:
    """Measure what a lesson's fault saves, and print it."""
    print(f"{costs.ROUNDS} runs without the fault and with it, by turns", flush=True)
    for cost in costs.measure(wanted, code, REPORTS):
        print(cost)


@contextmanager
def alone(wanted: Lesson) -> Iterator[Path]:
    """Keep the directory of a lesson, and yield it. Raises NotRun: another run of it has it."""
    directory = REPORTS / "lessons" / wanted.name
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotRun(f"Another run of this lesson uses {directory}: wait for its end.") from None
        yield directory


def lesson(wanted: Lesson, directory: Path, sound: bool, again: bool, page: bool) -> int:
    """Run a lesson and return the exit status. Raises NotRun.

    `sound`: without its fault. `again`: with the code as it lies there. `page`: leave the page open.
    """
    code = directory / ("sound" if sound else "code")
    if not again:
        patches.copy_code(code, None if sound else wanted.name)
    elif not code.is_dir():
        raise NotRun(f"There is no code in {code} yet: run make lesson N={wanted.name} first.")
    begin(wanted, code)
    result = run(wanted, code, REPORTS, stay if page else None)
    if not page:
        show(result)
    if sound or again:
        print("Passed." if result.passes else "Not passed: the fault is there, or another one.")
        return 0 if result.passes else NOT_CAUGHT
    print("Caught." if result.is_caught else "Not caught this time: run it again.")
    return CAUGHT if result.is_caught else NOT_CAUGHT


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lessons", description=__doc__)
    parser.add_argument("lesson", nargs="?", help="a number or a name; none: list the lessons")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--sound", action="store_true", help="run it without its fault: the audit must pass")
    kind.add_argument("--again", action="store_true", help="run the code as it lies there, after your changes")
    kind.add_argument("--cost", action="store_true", help="measure what the fault saves: some minutes")
    kind.add_argument("--diff", action="store_true", help="print the fault, as git apply takes it")
    parser.add_argument("--page", action="store_true", help="leave the page open after the run, until Ctrl-C")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # each ends the services, too
        signal.signal(number, signal.default_int_handler)
    if options.lesson is None:
        show_list()
        return 0
    wanted = find(options.lesson)
    if wanted is None:
        print(f"There is no lesson {options.lesson!r}: make lessons lists them.", file=sys.stderr)
        return NOT_RUN
    if options.diff:
        print(patches.numbered(wanted.name), end="")
        return 0
    if wanted.postgres and find_programs() is None:
        print("This lesson needs a PostgreSQL server (Debian: apt install postgresql).", file=sys.stderr)
        return NOT_RUN
    try:
        with alone(wanted) as directory:
            if options.cost:
                compare(wanted, directory / "compared")
                return 0
            return lesson(wanted, directory, options.sound, options.again, options.page)
    except (NotRun, AssertionError) as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
    return NOT_RUN


if __name__ == "__main__":
    sys.exit(main())
