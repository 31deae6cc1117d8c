"""The slowest traced requests on the dashboard: real services, whose spans are in memory only."""

from pathlib import Path
from typing import Any

import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from testbed import Fleet, wait_until

from ..browser import browser  # noqa: F401 - a fixture
from .serving import VERDICT_MS, page_of

PARTS = {"POST /orders", "look-ups", "GET /users", "wait for the writer", "transaction", "COMMIT"}


def test_an_order_is_shown_with_the_part_of_each_service_and_with_what_it_shared(
    tmp_path: Path,
    browser: Browser,  # noqa: F811
) -> None:
    fleet = Fleet(tmp_path / "fleet", env={"ACCESS_LOG": "false", "TRACES": "true"})
    try:
        fleet.start()
        with page_of(fleet.urls(), tmp_path, LOADGEN_TRACES="1") as address:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(address)
            expect(page.locator("#traces")).to_be_hidden()
            requests.post(f"{address}start", data={"users": 24, "writes": 400, "scenario": "steady"}, timeout=5)
            expect(page.locator("#verdict.good")).to_be_visible(timeout=VERDICT_MS)
            expect(page.locator("#traces")).to_be_visible()
            kept = wait_until(lambda: orders(address), 10, "a traced order")
            for request in kept:
                assert {row["name"] for row in request["spans"]} >= PARTS
            whole = [
                request
                for request in kept
                if {row["service"] for row in request["spans"]} == {"load generator", "orders", "users", "products"}
            ]
            assert whole
            assert any(row["shared"] for request in kept for row in request["spans"])
            page.locator("#slowest").select_option(whole[0]["trace"])
            for row in whole[0]["spans"]:
                expect(page.locator("#waterfall tbody tr").filter(has_text=row["name"]).first).to_be_visible()
            expect(page.locator("#waterfall rect")).to_have_count(len(whole[0]["spans"]))
            for width in (375, 1280):
                page.set_viewport_size({"width": width, "height": 900})
                assert page.evaluate("document.documentElement.scrollWidth") == width
                assert [each["id"] for each in Axe().run(page).response["violations"]] == []
            page.close()
    finally:
        fleet.stop()


def orders(address: str) -> list[dict[str, Any]]:
    """Return the traced orders that were accepted."""
    every = requests.get(f"{address}traces", timeout=5).json()
    return [each for each in every if each["action"] == "create_order" and each["status"] == 201]
