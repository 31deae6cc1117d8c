"""The dashboard in a real browser, against services in memory."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from loadgen.audit.causes import CAUSES
from loadgen.audit.invariants import INVARIANTS
from testbed import wait_until

from ..browser import browser  # noqa: F401 - a fixture
from ..process import only_report
from .serving import OVERFLOWING, VERDICT_MS, accessible, attempted, begin, served

strangers: list[str] = []
errors: list[str] = []


@pytest.fixture(autouse=True)
def no_other_address_is_requested_and_no_script_fails() -> Iterator[None]:
    """Fails a test whose `opened` page requested another address, or had an error."""
    strangers.clear()
    errors.clear()
    yield
    assert strangers == []
    assert errors == []


def opened(browser: Browser, address: str, width: int = 1280, scheme: str = "light", reduced: bool = False) -> Page:  # noqa: F811
    """Open the page; requests to other addresses and errors are noted."""
    motion = "reduce" if reduced else "no-preference"
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion=motion)  # type: ignore[arg-type]
    own = (address, "data:", "blob:")
    page.on("request", lambda request: strangers.append(request.url) if not request.url.startswith(own) else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    return page


def test_every_invariant_says_what_would_break_it() -> None:
    assert set(CAUSES) == {each.name for each in INVARIANTS}


def test_runs_can_be_started_watched_stopped_and_compared(tmp_path: Path, browser: Browser) -> None:  # noqa: F811
    with served(tmp_path) as address:
        page = opened(browser, address)
        expect(page.locator("#word")).to_have_text("No run yet")
        expect(page.locator("#list")).to_contain_text("No run has left a report yet")
        assert accessible(page) == []
        begin(page, writes="100000", users="4")
        expect(page.locator("#verdict.going")).to_contain_text("The load is running")
        expect(page.locator("#left")).to_contain_text("left")
        seen = wait_until(lambda: attempted(page))
        wait_until(lambda: attempted(page) > seen, what="more writes on the page")
        expect(page.locator("#must .count").first).to_have_text("–")
        expect(page.locator("#charts figure")).to_have_count(3)
        expect(page.locator("[name=writes]")).to_be_disabled()
        assert accessible(page) == []
        page.get_by_role("button", name="Stop").click()
        expect(page.locator("#verdict.good")).to_contain_text("PASS", timeout=VERDICT_MS)
        report = only_report(tmp_path)
        assert attempted(page) == sum(each["attempted"] for each in report["services"].values())
        assert page.locator("#must li.good .count").all_inner_texts() == ["0"] * len(report["invariants"])

        begin(page, writes="300")
        expect(page.locator("#verdict.good")).to_contain_text("333 writes attempted", timeout=VERDICT_MS)
        rows = page.locator("#list tbody tr")
        expect(rows).to_have_count(2)
        expect(rows.nth(1)).to_contain_text(report["run"])
        with page.expect_download() as download:
            rows.nth(1).get_by_role("link", name="report as JSON").click()
        assert json.loads(Path(download.value.path()).read_text()) == report
        with page.expect_popup() as popup:
            rows.nth(1).get_by_role("link", name="report", exact=True).click()
        expect(popup.value.locator(".verdict.good")).to_contain_text("PASS")
        expect(popup.value.locator("figure")).to_have_count(3)
        with page.expect_download() as download:
            page.locator("#files").get_by_role("link", name="ledger").click()
        assert report["run"] not in download.value.suggested_filename
        assert Path(download.value.path()).read_text().startswith('{"event":"run"')

        for place in (0, 1):
            rows.nth(place).get_by_role("checkbox").check()
        pair = page.locator("#pair")
        expect(pair.locator("tr", has_text="writes of the load").locator("td").nth(0)).to_have_text("300")
        expect(pair.locator("thead")).to_contain_text(report["run"])
        assert accessible(page) == []
        rows.nth(0).get_by_role("checkbox").uncheck()
        expect(page.locator("#compare")).to_be_hidden()


def test_a_run_has_the_scenario_rate_and_run_time_of_the_form(tmp_path: Path, browser: Browser) -> None:  # noqa: F811
    with served(tmp_path) as address:
        page = opened(browser, address)
        page.get_by_label("scenario").select_option("write-heavy")
        begin(page, writes="", users="3", rate="40.5", run_time="0m3s")
        expect(page.locator("#about")).to_contain_text("write-heavy · 3 users · open load of 40.5/s · 3 s")
        wait_until(lambda: page.locator("#progress").evaluate("each => each.value") > 0.3, what="progress")
        expect(page.locator("#verdict:not(.going)")).to_be_visible(timeout=VERDICT_MS)
    report = only_report(tmp_path)
    assert (
        report["settings"] | {"scenario": "write-heavy", "users": 3, "writes": None, "run_time": 3}
        == report["settings"]
    )
    assert report["load"]["rate"] == 40.5
    assert 2 <= report["load"]["seconds"] < 10  # the run time also holds the sample data


def test_a_wrong_field_is_refused_in_words_and_starts_nothing(tmp_path: Path, browser: Browser) -> None:  # noqa: F811
    with served(tmp_path) as address:
        page = opened(browser, address)
        expect(page.locator("[name=users]")).to_have_value("4")
        page.get_by_label("run time").fill("soon")
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_role("alert")).to_contain_text("run time must be a time such as 90s")
        expect(page.locator("#start")).to_be_enabled()
        assert accessible(page) == []
        assert requests.get(f"{address}audit/state", timeout=5).json()["phase"] is None


def test_refuses_a_second_run_while_one_goes_on(tmp_path: Path) -> None:
    with served(tmp_path) as address:
        form = {"users": "2", "writes": "100000", "scenario": "steady"}
        assert requests.post(f"{address}start", data=form, timeout=5).json() == {"started": True}
        second = requests.post(f"{address}start", data=form, timeout=5)
        assert (second.status_code, "goes on" in second.json()["error"]) == (409, True)
        assert requests.post(f"{address}stop", timeout=30).json() == {"stopped": True}


def test_who_comes_late_sees_every_second_and_the_page_of_locust_shows_the_same_run(
    tmp_path: Path,
    browser: Browser,  # noqa: F811
) -> None:
    with served(tmp_path) as address:
        locust = opened(browser, f"{address}locust/")
        locust.get_by_role("button", name="Start").click()
        run = wait_until(lambda: requests.get(f"{address}audit/state", timeout=5).json().get("run"), what="a run")
        wait_until(
            lambda: requests.get(f"{address}audit/state", timeout=5).json()["load_seconds"] > 4, what="4 s of load"
        )
        expect(locust.get_by_role("tab", name="Statistics")).to_be_visible()
        expect(locust.locator("body")).to_contain_text("create_order")
        page = opened(browser, address)
        expect(page.locator("#about")).to_contain_text(run)
        points = page.locator("#charts path.line.requests").first
        expect(points).to_have_attribute("d", re.compile(r"^M[\d.]+ [\d.]+(L[\d.]+ [\d.]+){3}"))
        timeline = requests.get(f"{address}timeline", {"run": run}, timeout=5).json()
        assert timeline["since"] == 0
        assert all(timeline["requests"][:4])
        later = requests.get(f"{address}timeline", {"run": run, "since": "2"}, timeout=5).json()
        assert later["requests"][0] == timeline["requests"][2]
        assert requests.get(f"{address}timeline", {"run": "another"}, timeout=5).status_code == 404
        page.get_by_role("button", name="Stop").click()
        expect(page.locator("#verdict.good")).to_contain_text("PASS", timeout=VERDICT_MS)


def test_shows_the_runs_of_earlier_processes(tmp_path: Path, browser: Browser) -> None:  # noqa: F811
    with served(tmp_path, "lose") as address:
        begin(page := opened(browser, address), writes="200")
        expect(page.locator("#verdict.bad")).to_be_visible(timeout=VERDICT_MS)
    report = only_report(tmp_path)
    with served(tmp_path) as address:
        page = opened(browser, address)
        expect(page.locator("#word")).to_have_text("No run yet")
        expect(page.locator("#list tbody tr")).to_contain_text(report["run"])
        expect(page.locator("#list .tag.bad")).to_have_text("✗ FAIL")


def test_a_violation_turns_the_page_red_and_is_named_and_explained(tmp_path: Path, browser: Browser) -> None:  # noqa: F811
    told = {"LOADGEN_TITLE": "Lesson: lost", "LOADGEN_QUESTION": "Is it <b>there</b>?"}
    with served(tmp_path, "lose", base="/load", **told) as address:
        begin(page := opened(browser, address), writes="200")
        expect(page.locator("#verdict.bad")).to_contain_text("FAIL", timeout=VERDICT_MS)
        violated = page.locator("#must li.bad")
        expect(violated).to_have_count(1)
        expect(page.locator("#question")).to_have_text("Lesson: lost: Is it <b>there</b>?")
        expect(page.locator("#list tbody tr").first).to_contain_text("Lesson: lost")
        for part in ("acknowledged but missing", "orders 5", "It would mean: ", CAUSES["acknowledged but missing"]):
            expect(violated).to_contain_text(part)
        assert accessible(page) == []


def test_no_verdict_turns_the_page_amber_and_ticks_nothing(tmp_path: Path, browser: Browser) -> None:  # noqa: F811
    with served(tmp_path, "refuse_all") as address:
        begin(page := opened(browser, address), writes="200")
        expect(page.locator("#verdict.open")).to_contain_text("NO VERDICT", timeout=VERDICT_MS)
        expect(page.locator("#verdict")).to_contain_text("The first write to users was not acknowledged")
        expect(page.locator("#must li.good")).to_have_count(0)
        assert accessible(page) == []


def test_says_so_when_the_load_generator_is_gone(tmp_path: Path, browser: Browser) -> None:  # noqa: F811
    with served(tmp_path) as address:
        page = opened(browser, address)
        expect(page.locator("#word")).to_have_text("No run yet")
        expect(page.locator("#gone")).to_be_hidden()
    expect(page.locator("#gone")).to_contain_text("No connection", timeout=15_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stays_in_its_box_at_every_width_and_size(tmp_path: Path, browser: Browser, scheme: str) -> None:  # noqa: F811
    with served(tmp_path, "lose") as address:
        requests.post(f"{address}start", data={"users": 4, "writes": 200, "scenario": "steady"}, timeout=5)
        page = opened(browser, address, scheme=scheme, reduced=True)
        expect(page.locator("#verdict.bad")).to_be_visible(timeout=VERDICT_MS)
        expect(page.locator("#list tbody tr")).to_have_count(1)
        for size in ("100%", "150%", "200%"):
            page.evaluate("size => { document.documentElement.style.fontSize = size; }", size)
            for width in (375, 700, 1000, 1280, 2560):
                page.set_viewport_size({"width": width, "height": 900})
                assert page.evaluate("document.documentElement.scrollWidth") == width, (size, width)
                assert page.evaluate(OVERFLOWING) == [], (size, width)
            assert accessible(page) == []
        red = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/)[0]")
        assert (int(red) < 128) == (scheme == "dark")


def test_a_run_can_be_started_by_the_keyboard_alone(tmp_path: Path, browser: Browser) -> None:  # noqa: F811
    with served(tmp_path) as address:
        page = opened(browser, address)
        expect(page.locator("[name=users]")).to_have_value("4")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the verdict")).to_be_focused()
        for _ in range(20):
            if page.evaluate("document.activeElement.name") == "writes":
                break
            page.keyboard.press("Tab")
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.type("200")
        page.keyboard.press("Enter")
        expect(page.locator("#verdict.good")).to_contain_text("233 writes attempted", timeout=VERDICT_MS)


@pytest.mark.parametrize("path", ["aaaaaa/ledger", "aaaaaa/secrets", "..%2Fx/ledger", "../x/report"])
def test_offers_nothing_else_for_download(tmp_path: Path, path: str) -> None:
    (tmp_path / "x").write_text("")
    with served(tmp_path) as address:
        assert requests.get(f"{address}audit/{path}", timeout=5).status_code == 404
        assert requests.get(f"{address}page/dashboard.html", timeout=5).status_code == 404
        assert requests.get(f"{address}audit/state", timeout=5).json() == {"phase": None, "earlier": []}
