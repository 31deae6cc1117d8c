"""The report as a page: made from JSON alone, and opened as a file in a real browser."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from loadgen.report.html import SCRIPT, main, per_second, report_page, write
from loadgen.report.json_report import as_json
from loadgen.report.timeline import Timeline

from ..browser import browser  # noqa: F401 - a fixture
from .test_console import MEASURED, broken

HOSTILE = """"'></title></style></script><script>document.title = 'owned'</script><img src=x onerror=alert(1)>"""


def full() -> dict[str, Any]:
    """Return the report of a failed run with every member that a report may hold."""
    timeline = Timeline()
    for place in range(200):
        timeline.add(place / 100, 5.0 + place, "ok", 1)
    timeline.not_served("users", 0.5, 0.6, "ConnectionRefusedError")
    timeline.not_served("users", 0.5, 1.6, "ConnectionRefusedError")
    timeline.close()
    return as_json(broken(), MEASURED, {"started_at": "2026-01-02T03:04:05.678+00:00"}) | {
        "ledger": "reports/ledger-k3f9z2.jsonl",
        "settings": {"users": 64, "scenario": {"name": "steady"}, "title": "Lesson: lost", "question": "Is it there?"},
        "costs": [
            {"process": name, "requests": 200, "cpu_seconds": 1.5, "cpu_us_per_request": 7500.0, "share_of_a_core": 0.75, "rss_mb": 61.0}
            for name in ("loadgen", "orders")
        ],
        "restarts": [{"service": "users", "at": 1.2}],
        "outages": timeline.outages_as_json(),
        "timeline": timeline.as_json(),
        "audit": {"seconds": 15.9, "rows_read_back": 82548},
        "workers": [
            {"worker": "worker 1 on a", "run": "k3f9z2", "verdict": 1, "summary": "FAIL: 8 writes", "ledger": "there.jsonl", "writes": {"attempted": 8, "of": 9}},
            {"worker": "worker 2 on b", "run": None, "verdict": 2, "summary": "lost", "ledger": None, "writes": {"attempted": 0, "of": None}},
        ],
        "news": [{"from": "a", "heard": 0}],
    }  # fmt: skip


def poisoned(value: Any) -> Any:
    """Return the same value with every text replaced by a hostile one."""
    if isinstance(value, dict):
        return {key: poisoned(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [poisoned(inner) for inner in value]
    return HOSTILE if isinstance(value, str) else value


class Tags(HTMLParser):
    """The tags, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"


def test_the_page_holds_everything_in_the_report() -> None:
    text = Tags(report_page(full())).text
    for expected in (
        "✗ FAIL", "Lesson: lost", ": Is it there?", "acknowledged but missing (1)", "for example: orders 1 (op 4)", "Also: never completed: browse.",
        "1,500", "create_user", "1,234", "503 overloaded", "7,500", "75%", "scenario.name", "steady", "news 1.heard", "worker 1 on a", "8 of 9", "there.jsonl", "worker 2 on b",
        "users restarted, noticed at 1.2 s.", "Audited in 15.9 s: 82,548 rows read back.", "ConnectionRefusedError", "2026-01-02T03:04:05.678+00:00",
    ):  # fmt: skip
        assert expected in text, expected


def test_text_from_services_never_becomes_markup() -> None:
    sound, hostile = Tags(report_page(full())), Tags(report_page(poisoned(full()) | {HOSTILE: HOSTILE}))
    known = {tag for tag, _ in sound.tags}
    assert {tag for tag, _ in hostile.tags} <= known
    assert not known & {"img", "iframe", "object", "a", "form"}
    for made in (sound, hostile):  # one script, which the policy names by its hash, and an empty icon
        assert [tag for tag, _ in made.tags if tag in ("script", "link")] == ["link", "script"]
        assert ("link", {"rel": "icon", "href": "data:,"}) in made.tags
    assert SCRIPT in report_page(poisoned(full()))
    assert not [name for _, attributes in hostile.tags for name in attributes if name.startswith("on")]
    assert hostile.text.count("<script>") > 10


def test_the_page_depends_only_on_the_report() -> None:
    assert report_page(full()) == report_page(json.loads(json.dumps(full())))


@pytest.mark.parametrize("missing", sorted(set(full()) - {"run", "verdict", "load"}))
def test_makes_a_page_of_a_report_with_missing_members(missing: str) -> None:
    report = full()
    del report[missing]
    assert "<h1>" in report_page(report)


def test_rates_use_the_true_length_of_the_last_slice() -> None:
    assert per_second([10, 10, 6], 2, 5.5) == [5, 5, 4]
    assert per_second([10, 1], 1, 1.01) == [10, None]
    assert per_second([3], 1, 0.3) == [10]


def test_a_command_makes_the_page_again_from_the_json(tmp_path: Path) -> None:
    path = tmp_path / "report-k3f9z2.json"
    path.write_text(json.dumps(full()))
    command = [sys.executable, "-m", "loadgen.report.html", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    page = tmp_path / "report-k3f9z2.html"
    assert done.stdout == f"Page: {page}\n"
    assert page.read_text() == report_page(full())
    assert sorted(tmp_path.iterdir()) == [page, path]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"verdict": 0, "load": {"seconds": 1}}', '{"timeline": 7}', None])
def test_names_a_file_that_is_not_a_report_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    path = tmp_path / "other.json"
    if content is not None:
        path.write_text(content)
    assert main([str(path)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert str(path) in err
    assert not path.with_suffix(".html").exists()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1000])
def test_the_page_opens_from_disk_without_a_request_and_fits(
    tmp_path: Path,
    browser: Browser,  # noqa: F811
    scheme: str,
    width: int,
) -> None:
    path = tmp_path / "report.html"
    write(poisoned(full()), path)
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(path.as_uri())
    assert ([each for each in asked if not each.startswith("data:")], said) == ([path.as_uri()], [])
    assert page.title() == f"Run {HOSTILE} · Threefold"
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("figure svg path.line").count() == 8
    red = int(page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/)[0]"))
    assert (red < 128) == (scheme == "dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.close()


def test_shows_times_by_the_clock_of_the_reader(tmp_path: Path, browser: Browser) -> None:  # noqa: F811
    path = tmp_path / "report.html"
    write(full(), path)
    context = browser.new_context(timezone_id="Asia/Tokyo", locale="en-GB")
    page = context.new_page()
    page.goto(path.as_uri())
    assert page.locator("time").inner_text() == "02/01/2026, 12:04:05"
    context.close()


def test_adds_up_the_writes_of_all_services() -> None:
    report = full()
    (sums,) = re.findall(r'<tr class="sum"><td>all</td>(.*?)</tr>', report_page(report))
    attempted = sum(each["attempted"] for each in report["services"].values())
    refused = sum(each["refused"] + each["maybe"] for each in report["services"].values())
    cells = re.findall(r"<td>([\d,]+)</td>", sums)
    assert (cells[0], cells[2]) == (f"{attempted:,}", f"{refused:,}")


@pytest.mark.parametrize("width", [375, 1000])
def test_axe_finds_nothing_in_a_report(tmp_path: Path, browser: Browser, width: int) -> None:  # noqa: F811
    path = tmp_path / "report.html"
    write(full(), path)
    page = browser.new_page(viewport={"width": width, "height": 800}, bypass_csp=True)
    page.goto(path.as_uri())
    assert Axe().run(page).response["violations"] == []
    page.close()
