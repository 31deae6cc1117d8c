"""The fields of the form that starts a run."""

import pytest

from loadgen.page.starting import BadForm, parse, seconds

GOOD = {"scenario": "steady", "users": "8", "writes": "1,000", "rate": "", "run_time": ""}


def test_reads_every_field() -> None:
    form = parse(GOOD | {"scenario": "contention", "rate": "2.5", "run_time": "1h30m"}, "steady")
    assert (form.scenario.name, form.users, form.writes, form.rate, form.run_time) == ("contention", 8, 1000, 2.5, 5400)


def test_empty_fields_mean_no_limit_a_closed_load_and_the_scenario_of_the_command_line() -> None:
    form = parse({"users": "1"}, "write-heavy")
    assert (form.scenario.name, form.writes, form.rate, form.run_time) == ("write-heavy", None, None, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("users", value) for value in ("", "0", "-1", "1.5", "many", "10001")),
        *(("writes", value) for value in ("0", "-1", "1e3", "many")),
        *(("rate", value) for value in ("0", "-1", "fast", "nan", "inf", "100001")),
        *(("run_time", value) for value in ("0", "0s", "soon", "-5", "1.5m", "m", "99999h", "9999h")),
        *(("scenario", value) for value in ("/etc/passwd", "../steady", "steady.toml")),
    ],
)
def test_rejects_a_wrong_field_and_names_it(field: str, value: str) -> None:
    with pytest.raises(BadForm, match=field.replace("_", " ")):
        parse(GOOD | {field: value}, "steady")


@pytest.mark.parametrize(("text", "whole"), [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("1h 5s", 3605)])
def test_reads_a_run_time(text: str, whole: int) -> None:
    assert seconds(text) == whole
