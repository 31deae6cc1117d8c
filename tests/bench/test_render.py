import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from bench import render, results
from bench.__main__ import main
from bench.parts import all_parts
from bench.plots import STYLE, number

from . import written

SVG = "{http://www.w3.org/2000/svg}"


def rows_of(text: str, heading: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    below = text.split(heading, 1)[1]
    lines = re.findall(r"^\|.*\|$", below.split("\n## ")[0], flags=re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def goals(text: str) -> dict[str, list[str]]:
    return {row[0]: row[1:] for row in rows_of(text, "# What")[2:]}


def test_the_table_of_goals_says_what_was_asked_and_measured_and_whether_it_is_reached() -> None:
    shown = goals(render.text(written.results()))
    assert shown["orders a second against the tutorial way"] == ["at least 12x", "13.3x (11.8 to 14.0)", "yes"]
    assert shown["orders a second against FastAPI"] == ["at least 9x", "8.67x (7.00 to 12.0)", "**no**"]
    assert shown["image above its base"] == ["under 60 MB", "70.0 MB, loadgen", "**no**"]
    assert "5 of 11 reached." in render.text(written.results())


def test_what_was_not_measured_is_said_to_be_so_and_has_no_figure() -> None:
    text = render.text(written.results("memory"))
    shown = goals(text)
    assert shown.pop("three services resident together after 100,000 orders")[2] == "yes"
    assert {tuple(row[1:]) for row in shown.values()} == {("–", "not measured")}
    assert text.count("\nNot measured.") == len(render.DETAILS) - 1


def test_a_part_that_failed_says_why_and_is_not_measured() -> None:
    content = written.results()
    content["parts"]["memory"] = {"measured": written.measured(), "failed": "a service did not start"}
    text = render.text(content)
    assert goals(text)["three services resident together after 100,000 orders"][1:] == ["–", "not measured"]
    assert "Not measured: a service did not start" in text


def test_a_smoke_run_reaches_nothing() -> None:
    text = render.text(written.results(short=True))
    assert {row[-1] for row in goals(text).values()} == {"smoke run: no verdict"}
    assert "0 of 11 reached." in text
    assert "**A smoke run:" in text


def test_parts_of_different_runs_are_told_apart() -> None:
    content = written.results()
    assert "Not one run" not in render.text(content)
    content["parts"]["memory"]["measured"] = written.measured(sync_ms=0.7)
    assert "Not one run" not in render.text(content)
    content["parts"]["memory"]["measured"] = written.measured(cores=64)
    text = render.text(content)
    assert "Not one run" in text
    assert [row[3] for row in rows_of(text, "## When") if row[0] in ("peers", "memory")] == ["1", "2"]
    content["parts"]["memory"]["measured"] = written.measured(commit="def")
    assert "Not one run" in render.text(content)


def test_a_machine_that_was_not_quiet_is_named() -> None:
    content = written.results()
    assert "not quiet during" not in render.text(content)
    content["parts"]["rows"]["measured"]["others"] = 0.2
    assert "not quiet during rows" in render.text(content)


def test_every_part_has_its_details() -> None:
    assert render.DETAILS.keys() == all_parts().keys() == written.FIGURES.keys()


@pytest.mark.parametrize("name", render.DRAWN)
def test_a_plot_is_one_small_sound_file_that_loads_nothing(name: str) -> None:
    svg = render.plots(written.results())[name]
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert len(svg) < 20_000
    assert not re.search(r"(href|url\(|@import|<script)", svg)
    used = {style for element in root.iter() for style in element.get("class", "").split()}
    assert used - {"range", "card", "line", "band", "grid"} <= set(re.findall(r"\.([\w]+)", STYLE))
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    for element in root.iter(f"{SVG}text"):
        assert 0 < float(element.attrib["x"]) < width
        assert 0 < float(element.attrib["y"]) < height


def test_a_longer_bar_is_a_larger_figure() -> None:
    root = ElementTree.fromstring(render.plots(written.results())["peers"])
    widths = [float(bar.attrib["width"]) for bar in root.iter(f"{SVG}rect") if bar.get("class") != "card"]
    tutorial, _fastapi, orders, users, echo = widths
    assert orders / tutorial == pytest.approx(13, rel=0.02)
    assert tutorial < orders < users < echo


def test_what_is_not_measured_is_not_drawn_and_an_older_plot_of_it_goes(tmp_path: Path) -> None:
    render.write(written.results(), tmp_path)
    assert {path.stem for path in tmp_path.glob("*.svg")} == render.DRAWN.keys()
    render.write(written.results("peers"), tmp_path)
    assert [path.name for path in tmp_path.glob("*.svg")] == ["peers.svg"]
    assert re.findall(r"!\[.*\]\((.*)\)", (tmp_path / "results.md").read_text()) == ["peers.svg"]


def test_table_and_plots_are_made_from_the_json_alone(tmp_path: Path) -> None:
    results.save(tmp_path, written.results())
    assert main(["--render", "--results", str(tmp_path)]) == 0
    assert (tmp_path / "results.md").read_text() == render.text(written.results(), render.DRAWN)


def test_what_this_benchmark_did_not_write_is_not_rendered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / results.FILE).write_text(json.dumps({"http": {}}))
    assert main(["--render", "--results", str(tmp_path)]) == 2
    assert "move it away" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0.00"), (0.0123, "0.012"), (0.756, "0.76"), (9.999, "10.00"), (45.67, "45.7"), (1234.5, "1,234")],
)
def test_numbers_have_as_many_digits_as_say_something(value: float, shown: str) -> None:
    assert number(value) == shown
