"""The report as a page: from JSON alone, and looked at as a file in a real browser."""

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from loadgen.report import as_json
from loadgen.report_page import main, per_second, report_page, write
from loadgen.timeline import Timeline

from .browser import browser  # noqa: F401 - a fixture
from .test_report import MEASURED, broken

HOSTILE = """"'></title></style></script><script>document.title = 'owned'</script><img src=x onerror=alert(1)>"""


def full() -> dict[str, Any]:
    """A report of a run that failed, with everything that a report may hold."""
    timeline = Timeline()
    for place in range(200):
        timeline.add(place / 100, 5.0 + place, "ok", 1)
    timeline.not_served("users", 0.5, 0.6, "ConnectionRefusedError")
    timeline.not_served("users", 0.5, 1.6, "ConnectionRefusedError")
    timeline.close()
    return as_json(broken(), MEASURED, {"started_at": "2026-01-02T03:04:05.678+00:00"}) | {
        "ledger": "reports/ledger-k3f9z2.jsonl",
        "settings": {"users": 64, "scenario": {"name": "steady"}},
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
    """The same with every text, and every name of a value that no part of ours chose, hostile."""
    if isinstance(value, dict):
        return {key: poisoned(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [poisoned(inner) for inner in value]
    return HOSTILE if isinstance(value, str) else value


class Tags(HTMLParser):
    """The tags of a page, their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"


def test_it_holds_what_the_report_holds() -> None:
    text = Tags(report_page(full())).text
    for expected in (
        "✗ FAIL", "acknowledged but missing (1)", "for example: orders 1 (op 4)", "Also: never completed: browse.",
        "1,500", "create_user", "1,234", "503 overloaded", "7,500", "75%", "scenario.name", "steady", "news 1.heard", "worker 1 on a", "8 of 9", "there.jsonl", "worker 2 on b",
        "users restarted, noticed at 1.2 s.", "Audited in 15.9 s: 82,548 rows read back.", "ConnectionRefusedError", "2026-01-02T03:04:05.678+00:00",
    ):  # fmt: skip
        assert expected in text, expected


def test_what_services_said_never_becomes_markup() -> None:
    sound, hostile = Tags(report_page(full())), Tags(report_page(poisoned(full()) | {HOSTILE: HOSTILE}))
    known = {tag for tag, _ in sound.tags}
    assert {tag for tag, _ in hostile.tags} <= known
    assert not known & {"script", "img", "link", "iframe", "object", "a", "form"}
    assert not [name for _, attributes in hostile.tags for name in attributes if name.startswith("on")]
    assert hostile.text.count("<script>") > 10


def test_a_page_depends_on_nothing_but_the_report() -> None:
    assert report_page(full()) == report_page(json.loads(json.dumps(full())))


@pytest.mark.parametrize("missing", sorted(set(full()) - {"run", "verdict", "load"}))
def test_a_report_that_holds_less_has_a_page_too(missing: str) -> None:
    report = full()
    del report[missing]
    assert "<h1>" in report_page(report)


def test_a_rate_takes_the_last_slice_as_long_as_it_was() -> None:
    assert per_second([10, 10, 6], 2, 5.5) == [5, 5, 4]
    assert per_second([10, 1], 1, 1.01) == [10, None]
    assert per_second([3], 1, 0.3) == [10]


def test_it_is_made_again_from_the_json_by_command(tmp_path: Path) -> None:
    path = tmp_path / "report-k3f9z2.json"
    path.write_text(json.dumps(full()))
    command = [sys.executable, "-m", "loadgen.report_page", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    page = tmp_path / "report-k3f9z2.html"
    assert done.stdout == f"Page: {page}\n"
    assert page.read_text() == report_page(full())
    assert sorted(tmp_path.iterdir()) == [page, path]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"verdict": 0, "load": {"seconds": 1}}', '{"timeline": 7}', None])
def test_what_is_no_report_is_named_in_one_line(
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
def test_opened_from_disk_it_fits_and_asks_nobody(
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
    assert (asked, said) == ([path.as_uri()], [])
    assert page.title() == f"Run {HOSTILE}"
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("figure svg path.line").count() == 8
    red = int(page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/)[0]"))
    assert (red < 128) == (scheme == "dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.close()
