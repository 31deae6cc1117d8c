"""Our tab on Locust's page, in a real browser."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, FrameLocator, Page, expect

from ..fleet import free_port, wait_until
from .browser import browser  # noqa: F401 - a fixture
from .fake import running
from .test_loadgen import finish, only_report, start

VERDICT_MS = 60_000


@contextmanager
def served(directory: Path, fault: str | None = None, base: str = "", **env: str) -> Iterator[str]:
    """The load generator with its page, which has not begun a run; the page's address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}{base}/"
    options = ("--web-host", "127.0.0.1", "--web-port", str(port), "-u", "4", "-r", "4")
    with running(fault) as urls:
        process = start(urls | {"LOCUST_AUTOSTART": "false", "LOCUST_WEB_BASE_PATH": base} | env, directory, *options)
        try:
            wait_until(lambda: answers(address), what="the page")
            yield address
        finally:
            process.send_signal(signal.SIGINT)
            finish(process)


def answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).status_code in (200, 401)
    except requests.ConnectionError:
        return False


def opened(browser: Browser, address: str) -> Page:  # noqa: F811
    """The page; whom else it asks for anything is in `strangers`."""
    page = browser.new_page()
    page.on("request", lambda request: strangers.append(request.url) if not request.url.startswith(own) else None)
    own = (address, "data:", "blob:")
    page.goto(address)
    return page


strangers: list[str] = []


@pytest.fixture(autouse=True)
def nobody_else_is_asked() -> Iterator[None]:
    """Whatever a test does on a page that it has `opened`."""
    strangers.clear()
    yield
    assert strangers == []


def begin(page: Page, writes: int) -> FrameLocator:
    """Start a run with Locust's form; our tab."""
    page.get_by_role("button", name="Custom parameters").click()
    page.get_by_label("Writes").fill(str(writes))
    page.get_by_role("button", name="Start").click()
    page.get_by_role("tab", name="Audit").click()
    return page.frame_locator("iframe[title=Audit]")


def attempted(tab: FrameLocator) -> int:
    return int(tab.locator("#services tr.sum td").nth(1).inner_text().replace(",", ""))


def test_a_run_is_started_watched_stopped_and_started_again_on_the_page(
    tmp_path: Path,
    browser: Browser,  # noqa: F811
) -> None:
    with served(tmp_path) as address:
        page = opened(browser, address)
        tab = begin(page, 100_000)
        expect(tab.locator("#verdict.open")).to_contain_text("Running")
        seen = wait_until(lambda: attempted(tab) if tab.locator("#services tr").count() else 0)
        wait_until(lambda: attempted(tab) > seen, what="more writes on the page")
        expect(tab.locator("#invariants td:text-is('–')").first).to_be_visible()
        page.get_by_role("button", name="Stop").click()
        expect(tab.locator("#verdict.good")).to_contain_text("PASS", timeout=VERDICT_MS)
        report = only_report(tmp_path)
        assert attempted(tab) == sum(each["attempted"] for each in report["services"].values())
        assert tab.locator("#invariants td:text-is('0')").count() == len(report["invariants"])

        page.get_by_role("button", name="New").click()
        tab = begin(page, 300)
        expect(tab.locator("#verdict.good")).to_contain_text("333 writes attempted", timeout=VERDICT_MS)
        expect(tab.locator("#earlier")).to_contain_text(report["run"])
        with page.expect_download() as download:
            tab.locator("#earlier").get_by_role("link", name="report (JSON)").click()
        assert json.loads(Path(download.value.path()).read_text()) == report
        link = tab.locator("#earlier").get_by_role("link", name="report (HTML)").get_attribute("href")
        drawn = browser.new_page()
        drawn.goto(f"{address}{link}")
        expect(drawn.locator(".verdict.good")).to_contain_text("PASS")
        expect(drawn.locator("figure")).to_have_count(3)
        with page.expect_download() as download:
            tab.locator("#files").get_by_role("link", name="ledger").click()
        assert report["run"] not in download.value.suggested_filename
        assert Path(download.value.path()).read_text().startswith('{"event":"run"')


def test_a_fault_turns_it_red_and_says_what_and_where(tmp_path: Path, browser: Browser) -> None:  # noqa: F811
    with served(tmp_path, "lose", base="/load") as address:
        tab = begin(opened(browser, address), 200)
        expect(tab.locator("#verdict.bad")).to_contain_text("FAIL", timeout=VERDICT_MS)
        expect(tab.locator("#invariants tr.bad")).to_contain_text("acknowledged but missing")
        expect(tab.locator("#invariants tr.bad")).to_contain_text("orders 5")


def test_services_that_serve_nothing_are_amber(tmp_path: Path, browser: Browser) -> None:  # noqa: F811
    with served(tmp_path, "refuse_all") as address:
        tab = begin(opened(browser, address), 200)
        expect(tab.locator("#verdict.open")).to_contain_text("NO VERDICT", timeout=VERDICT_MS)
        expect(tab.locator("#verdict")).to_contain_text("the first write to users was not acknowledged")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_by_itself_it_fits_a_phone_in_light_and_dark(tmp_path: Path, browser: Browser, scheme: str) -> None:  # noqa: F811
    with served(tmp_path, "lose") as address:
        requests.post(f"{address}swarm", data={"user_count": 4, "spawn_rate": 4, "writes": 200}, timeout=5)
        page = browser.new_page(viewport={"width": 375, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
        page.goto(f"{address}audit")
        expect(page.locator("#verdict.bad")).to_be_visible(timeout=VERDICT_MS)
        assert page.evaluate("document.documentElement.scrollWidth") == 375
        assert page.evaluate("document.querySelector('.services').parentNode.scrollWidth <= innerWidth")
        red = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/)[0]")
        assert (int(red) < 128) == (scheme == "dark")


@pytest.mark.parametrize("path", ["aaaaaa/ledger", "aaaaaa/secrets", "..%2Fx/ledger", "../x/report"])
def test_there_is_nothing_else_to_download(tmp_path: Path, path: str) -> None:
    (tmp_path / "x").write_text("")
    with served(tmp_path) as address:
        assert requests.get(f"{address}audit/{path}", timeout=5).status_code == 404
        assert requests.get(f"{address}audit/state", timeout=5).json() == {"phase": None, "earlier": []}
