"""Our command-line options, and our defaults for Locust's."""

import os
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

from .traffic.scenario import BASE, shipped

if TYPE_CHECKING:  # importing it patches the standard library of the whole process
    from locust.argument_parser import LocustArgumentParser

DEFAULT_WRITES = 10_000
NO_LIMIT = "no limit"  # the option `writes` of a run that was started without one on the page
LOCUST_PATH = "/locust"
LOWEST_RATE, HIGHEST_RATE = 0.1, 100_000
STOP_TIMEOUT_S = 15  # longer than a request may take: virtual users finish what they began
DESCRIPTION = """\
Usage: python -m loadgen [options]

Sends concurrent writes to the three services, then reads everything back and proves that every acknowledged write is
there, exactly once. Without --headless the run is shown on a page, and more runs can be started there.

Exit status: 0 pass, 1 a violation was found, 2 no verdict.
"""
EXAMPLES = """\
Examples:

    python -m loadgen --headless
    python -m loadgen --headless --writes 50000 --users 200
    python -m loadgen --headless --run-time 10m --rate 300 --scenario my.toml

The other options are those of Locust: https://docs.locust.io/en/stable/configuration.html"""


def positive(text: str) -> int:
    """Return a number of writes. Raises ArgumentTypeError."""
    if not text.isdecimal() or not (number := int(text)):
        raise ArgumentTypeError(f"must be a whole number, 1 or more, not {text!r}")
    return number


def rate(text: str) -> float:
    """Return requests a second. Raises ArgumentTypeError."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not LOWEST_RATE <= number <= HIGHEST_RATE:
        raise ArgumentTypeError(f"must be requests a second, {LOWEST_RATE} to {HIGHEST_RATE:,}, not {text!r}")
    return number


def add_options(parser: "LocustArgumentParser") -> None:
    """Add our options in a group before Locust's, and set our defaults.

    Locust's command line, environment and configuration files still override the defaults.
    """
    parser.description, parser.epilog = DESCRIPTION, EXAMPLES
    ours = [
        parser.add_argument(
            "--writes",
            type=positive,
            metavar="<int>",
            env_var="LOADGEN_WRITES",
            help=f"Stop after exactly this many writes. Default: {DEFAULT_WRITES}, or no limit with --run-time.",
        ),
        parser.add_argument(
            "--scenario",
            default=BASE,
            metavar="<name or file>",
            env_var="LOADGEN_SCENARIO",
            include_in_web_ui=False,
            help=f"The mix of actions: {', '.join(shipped())}, or a TOML file of your own. Default: {BASE}.",
        ),
        parser.add_argument(
            "--rate",
            type=rate,
            metavar="<float>",
            env_var="LOADGEN_RATE",
            include_in_web_ui=False,
            help="Open load: schedule this many requests a second, however slow the answers are; response times count "
            "from the scheduled moment. Default: closed load, each virtual user waits for its answers.",
        ),
        parser.add_argument(
            "--title",
            default="",
            metavar="<text>",
            env_var="LOADGEN_TITLE",
            include_in_web_ui=False,
            help="What this run is, in a few words. The page, the list of runs and the report show it.",
        ),
        parser.add_argument(
            "--question",
            default="",
            metavar="<text>",
            env_var="LOADGEN_QUESTION",
            include_in_web_ui=False,
            help="The question that this run answers. The page and the report show it beside the verdict.",
        ),
    ]
    place_locust(parser)
    group = parser.add_argument_group("Load generator options")
    for action in ours:  # argparse has no public way to put a group first
        parser._optionals._group_actions.remove(action)
        group._group_actions.append(action)
    parser._action_groups.insert(0, parser._action_groups.pop())
    parser.set_defaults(
        num_users=64,
        spawn_rate=64,
        stop_timeout=STOP_TIMEOUT_S,
        loglevel="WARNING",
        only_summary=True,
        autostart="LOCUST_AUTOSTART" not in os.environ,
        # Locust's own default is every address of this machine.
        web_host=os.environ.get("LISTEN_ADDRESS") or os.environ.get("BIND_ADDRESS") or "127.0.0.1",
    )


def place_locust(parser: "LocustArgumentParser") -> None:
    """Move Locust's page to LOCUST_PATH below the base path that the user gives: the base itself is the dashboard's."""
    action = next(each for each in parser._actions if each.dest == "web_base_path")
    action.type = lambda base: base.rstrip("/") + LOCUST_PATH  # argparse applies it to the default, too


def write_limit(writes: str, default: int | None) -> int | None:
    """Return the writes that a run may make, from the option or the page's field, which may hold any text."""
    if writes == NO_LIMIT:
        return None
    try:
        return positive(writes)
    except ArgumentTypeError:
        return default
