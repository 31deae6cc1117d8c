"""The form that starts a run: its fields as values, or a sentence that says what is wrong."""

import re
from argparse import ArgumentTypeError
from collections.abc import Mapping
from dataclasses import dataclass

from ..options import positive, rate
from ..traffic.actions import KINDS
from ..traffic.scenario import BadScenario, Scenario, load, shipped

MOST_USERS = 10_000
LONGEST_S = 30 * 24 * 3600
RUN_TIME = re.compile(r"(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,7})s?)?")


class BadForm(ValueError):
    """A field cannot be used; the message says which, and what is allowed."""


@dataclass(frozen=True)
class Form:
    """A run that somebody asks for."""

    scenario: Scenario
    users: int
    writes: int | None  # None: any number
    rate: float | None  # None: a closed load
    run_time: int | None  # seconds; None: until the writes are made, or somebody stops it


def parse(fields: Mapping[str, str], own_scenario: str) -> Form:
    """Return the form. `own_scenario` is that of the command line, which may be a file. Raises BadForm."""
    given = {name: fields.get(name, "").strip() for name in ("scenario", "users", "writes", "rate", "run_time")}
    named = given["scenario"] or own_scenario
    if named not in (*shipped(), own_scenario):  # no other file may be read from a form
        raise BadForm(f"scenario must be one of {', '.join(shipped())}")
    try:
        scenario = load(named, KINDS)
    except BadScenario as error:
        raise BadForm(str(error)) from None
    try:
        users = positive(given["users"])
    except ArgumentTypeError as error:
        raise BadForm(f"users {error}") from None
    if users > MOST_USERS:
        raise BadForm(f"users must be at most {MOST_USERS:,}")
    try:
        writes = positive(given["writes"].replace(",", "")) if given["writes"] else None
    except ArgumentTypeError as error:
        raise BadForm(f"writes {error}") from None
    try:
        scheduled = rate(given["rate"]) if given["rate"] else None
    except ArgumentTypeError as error:
        raise BadForm(f"rate {error}") from None
    return Form(scenario, users, writes, scheduled, seconds(given["run_time"]) if given["run_time"] else None)


def seconds(text: str) -> int:
    """Return the seconds of 90, 90s, 10m or 1h30m. Raises BadForm."""
    match = RUN_TIME.fullmatch(text.replace(" ", ""))
    whole = sum(int(part or 0) * size for part, size in zip(match.groups(), (3600, 60, 1), strict=True)) if match else 0
    if not 0 < whole <= LONGEST_S:
        raise BadForm(f"run time must be a time such as 90s, 10m or 1h30m, at most 30 days, not {text!r}")
    return whole
