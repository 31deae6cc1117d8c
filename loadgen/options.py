"""Our options of the command line, and our defaults for Locust's."""

import os
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

from .scenario import BASE, shipped

if TYPE_CHECKING:  # importing it patches the standard library of the whole process
    from locust.argument_parser import LocustArgumentParser

DEFAULT_WRITES = 10_000
LOWEST_RATE, HIGHEST_RATE = 0.1, 100_000
STOP_TIMEOUT_S = 15  # more than a request may take: what a shopper began, it ends


def positive(text: str) -> int:
    """A number of writes. Raises ArgumentTypeError."""
    if not text.isdecimal() or not (number := int(text)):
        raise ArgumentTypeError(f"must be a whole number from 1 on, not {text!r}")
    return number


def rate(text: str) -> float:
    """Requests a second. Raises ArgumentTypeError."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not LOWEST_RATE <= number <= HIGHEST_RATE:
        raise ArgumentTypeError(f"must be requests a second, {LOWEST_RATE} to {HIGHEST_RATE:,}, not {text!r}")
    return number


def add_options(parser: "LocustArgumentParser") -> None:
    """Our options, and our defaults for Locust's: its command line, environment and files still come before them."""
    parser.add_argument(
        "--writes",
        type=positive,
        metavar="<int>",
        env_var="LOADGEN_WRITES",
        help=f"Stop after exactly this many writes. Default: {DEFAULT_WRITES}, or no limit with --run-time.",
    )
    parser.add_argument(
        "--scenario",
        default=BASE,
        metavar="<name or file>",
        env_var="LOADGEN_SCENARIO",
        include_in_web_ui=False,
        help=f"What the shoppers do: {', '.join(shipped())}, or a TOML file like theirs. Default: {BASE}.",
    )
    parser.add_argument(
        "--rate",
        type=rate,
        metavar="<float>",
        env_var="LOADGEN_RATE",
        include_in_web_ui=False,
        help="Open load: so many requests a second are due whatever the answers do; response times count from then. "
        "Default: closed load, each shopper waits for its answers.",
    )
    parser.set_defaults(
        num_users=64,
        spawn_rate=64,
        stop_timeout=STOP_TIMEOUT_S,
        loglevel="WARNING",
        only_summary=True,
        autostart="LOCUST_AUTOSTART" not in os.environ,
        # Locust's own is every address of this machine.
        web_host=os.environ.get("LISTEN_ADDRESS") or os.environ.get("BIND_ADDRESS") or "127.0.0.1",
    )


def budget(writes: str, default: int | None) -> int | None:
    """How many writes a run may make, from the option or from the field of the page, which may hold any text."""
    try:
        return positive(writes)
    except ArgumentTypeError:
        return default
