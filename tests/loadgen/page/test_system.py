"""The services on the dashboard: real processes that are killed, paused and started again."""

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, expect

from loadgen.page.system import EVERY_S
from testbed import Fleet, wait_until

from ..browser import browser  # noqa: F401 - a fixture
from .serving import page_of

SLACK_MS = 1500  # of a busy machine and its browser


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    started = Fleet(tmp_path_factory.mktemp("fleet"), env={"ACCESS_LOG": "false"}).start()
    yield started
    started.stop()


def test_shows_the_figures_of_each_service_and_of_the_look_ups(fleet: Fleet, tmp_path: Path, browser: Browser) -> None:  # noqa: F811
    with page_of(fleet.urls(), tmp_path) as address:
        requests.post(f"{address}start", data={"users": 8, "run_time": "20s", "scenario": "steady"}, timeout=5)
        page = browser.new_page()
        page.goto(address)
        for name in ("users", "products", "orders"):
            box = page.locator(f"#{name}.good")
            for figure in (r"● up", r"[1-9][\d,.]*/s · p99 [\d.,]+ ms", r"[1-9][\d.]* writes a commit", r"[\d.,]+ commits/s · queue \d+", r"\d+ MB · \d+ % of a core", "SQLite"):  # fmt: skip
                expect(box).to_contain_text(re.compile(figure), timeout=15_000)
        for name in ("users", "products"):
            for figure in (r"[1-9][\d.]* look-ups/s", r"[1-9][\d.]* orders each", "circuit closed"):
                expect(page.locator(f"#to-{name}")).to_contain_text(re.compile(figure), timeout=15_000)
        expect(page.locator("#generator")).to_contain_text(re.compile(r"[1-9][\d,.]* writes/s"))
        page.close()


def test_a_killed_service_is_red_with_the_next_reading_and_green_when_it_is_back(
    fleet: Fleet,
    tmp_path: Path,
    browser: Browser,  # noqa: F811
) -> None:
    with page_of(fleet.urls(), tmp_path) as address:
        page = browser.new_page()
        page.goto(address)
        expect(page.locator("#products.good")).to_be_visible(timeout=15_000)
        fleet.products.kill()
        began = time.monotonic()
        try:
            expect(page.locator("#products.bad")).to_contain_text("✕ down", timeout=EVERY_S * 1000 + SLACK_MS)
            print(f"red after {time.monotonic() - began:.2f} s")
            expect(page.locator("#products")).to_contain_text("orders answers 503, and writes nothing")
            expect(page.locator("#users.good")).to_be_visible()
            link = page.locator("#to-products.bad")

            def shows_an_open_circuit() -> bool:  # while nobody orders, it is open for about a second only
                order = {"user_id": 1, "product_id": 1, "quantity": 1}
                assert requests.post(f"{fleet.orders.url}/orders", json=order, timeout=10).status_code == 503
                return "circuit open" in (link.text_content() or "")

            wait_until(shows_an_open_circuit, what="an open circuit")
        finally:
            fleet.products.start()
        expect(page.locator("#products.good")).to_contain_text("up", timeout=EVERY_S * 1000 + SLACK_MS)
        page.close()


def test_a_paused_service_is_silent_and_then_red(fleet: Fleet, tmp_path: Path, browser: Browser) -> None:  # noqa: F811
    with page_of(fleet.urls(), tmp_path) as address:
        page = browser.new_page()
        page.goto(address)
        expect(page.locator("#users.good")).to_be_visible(timeout=15_000)
        fleet.users.signal(signal.SIGSTOP)
        try:
            expect(page.locator("#users.open")).to_contain_text("no answer for", timeout=4_000)
            expect(page.locator("#users.bad")).to_contain_text("no answer for", timeout=6_000)
            expect(page.locator("#orders.good")).to_be_visible()
        finally:
            fleet.users.signal(signal.SIGCONT)
        expect(page.locator("#users.good")).to_be_visible(timeout=6_000)
        page.close()


def test_asks_nobody_while_nobody_looks(fleet: Fleet, tmp_path: Path) -> None:
    def asked() -> float:
        text = requests.get(f"{fleet.orders.url}/metrics", timeout=5).text
        (line,) = (
            each for each in text.splitlines() if each.startswith("http_requests_total") and 'route="/metrics"' in each
        )
        return float(line.rpartition(" ")[2])

    with page_of(fleet.urls(), tmp_path) as address:
        asked()
        before = asked()
        time.sleep(2.5)
        assert asked() == before + 1  # by this test
        requests.get(f"{address}state", timeout=5)
        time.sleep(2.5)
        assert asked() > before + 3
