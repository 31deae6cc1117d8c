import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.parts import all_parts
from bench.report import page, results
from bench.report.drawings import DRAWINGS
from bench.report.plots import STYLE, number
from bench.report.tables import TABLES

from . import written

SVG = "{http://www.w3.org/2000/svg}"


def rows_of(text: str, heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading."""
    below = text.split(heading, 1)[1]
    lines = re.findall(r"^\|.*\|$", below.split("\n## ")[0], flags=re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_a_part_without_figures_says_not_measured() -> None:
    text = page.text(written.results("memory"))
    assert [row[0] for row in rows_of(text, "## Memory")[2:]] == ["users", "products", "orders", "all"]
    assert text.count("\nNot measured.") == len(TABLES) - 1


def test_a_failed_part_shows_its_reason_and_no_figures() -> None:
    content = written.results()
    content["parts"]["memory"] = {"measured": written.measured(), "failed": "a service did not start"}
    text = page.text(content)
    assert "Not measured: a service did not start" in text
    assert rows_of(text, "## Memory") == []


def test_a_smoke_run_says_that_its_figures_mean_nothing() -> None:
    assert "**A smoke run:" in page.text(written.results(short=True))
    assert "**A smoke run:" not in page.text(written.results())


def test_ratios_to_the_peers_are_taken_within_each_round() -> None:
    text = page.text(written.results())
    shown = [row[1:3] for row in rows_of(text, "## Beside the peers") if row[0] == "threefold orders"]
    assert shown[0] == ["1,300 (1,200 to 1,400)", "0.65 (0.60 to 0.70)"]
    assert "Orders a second: 13.3x (11.8 to 14.0) the tutorial's, 8.67x (7.00 to 12.0) FastAPI's." in text


def test_warns_when_parts_are_of_different_commits_or_machines() -> None:
    content = written.results()
    assert "Not one run" not in page.text(content)
    content["parts"]["memory"]["measured"] = written.measured(sync_ms=0.7)
    assert "Not one run" not in page.text(content)
    content["parts"]["memory"]["measured"] = written.measured(cores=64)
    text = page.text(content)
    assert "Not one run" in text
    assert [row[3] for row in rows_of(text, "## When") if row[0] in ("peers", "memory")] == ["1", "2"]
    content["parts"]["memory"]["measured"] = written.measured(commit="def")
    assert "Not one run" in page.text(content)


def test_warns_of_parts_during_which_other_programs_ran() -> None:
    content = written.results()
    assert "not quiet during" not in page.text(content)
    content["parts"]["rows"]["measured"]["others"] = 0.2
    assert "not quiet during rows" in page.text(content)


def test_every_part_has_a_table() -> None:
    assert TABLES.keys() == all_parts().keys() == written.FIGURES.keys()


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_plot_is_one_small_valid_file_that_loads_nothing(name: str) -> None:
    svg = page.plots(written.results())[name]
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


def test_the_length_of_a_bar_follows_its_figure() -> None:
    root = ElementTree.fromstring(page.plots(written.results())["peers"])
    widths = [float(bar.attrib["width"]) for bar in root.iter(f"{SVG}rect") if bar.get("class") != "card"]
    tutorial, _fastapi, orders, users, echo = widths
    assert orders / tutorial == pytest.approx(13, rel=0.02)
    assert tutorial < orders < users < echo


def test_the_plot_of_a_part_without_figures_is_removed(tmp_path: Path) -> None:
    page.write(written.results(), tmp_path)
    assert {path.stem for path in tmp_path.glob("*.svg")} == DRAWINGS.keys()
    page.write(written.results("peers"), tmp_path)
    assert [path.name for path in tmp_path.glob("*.svg")] == ["peers.svg"]
    assert re.findall(r"!\[.*\]\((.*)\)", (tmp_path / "results.md").read_text()) == ["peers.svg"]


def test_render_makes_the_page_from_the_json_alone(tmp_path: Path) -> None:
    results.save(tmp_path, written.results())
    assert main(["--render", "--results", str(tmp_path)]) == 0
    assert (tmp_path / "results.md").read_text() == page.text(written.results(), DRAWINGS)


def test_rejects_a_results_file_that_it_did_not_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / results.FILE).write_text(json.dumps({"http": {}}))
    assert main(["--render", "--results", str(tmp_path)]) == 2
    assert "move it away" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0.00"), (0.0123, "0.012"), (0.756, "0.76"), (9.999, "10.00"), (45.67, "45.7"), (1234.5, "1,234")],
)
def test_numbers_have_three_significant_digits(value: float, shown: str) -> None:
    assert number(value) == shown
