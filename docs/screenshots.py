"""Take the pictures in docs/images again: `python -m docs.screenshots`, or `make screenshots`."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from testbed import Fleet, free_port, wait_until

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs/images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
KILLS = 2
UP_S, DOWN_S = 2.5, 1.0  # how long users serves before each kill, and how long it is away
PAGES = (
    ("page-light", 1280, "light", "#graphs"),
    ("page-mobile-dark", 375, "dark", "#system"),
)  # name, width in pixels, color scheme, the last part that is shown
MARGIN = 8  # pixels
VERDICT_MS = 120_000
SETTLE_MS = 2_500  # until the figures of the run before are gone
PLAN = {"users": "32", "run_time": "14s", "scenario": "steady"}


def load(fleet: Fleet, directory: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start the load generator; its reports go to `directory`/reports."""
    env = os.environ | fleet.urls() | {"PYTHONPATH": str(ROOT), "LOCUST_AUTOSTART": "false", "LOADGEN_TRACES": "0.02"}
    command = [sys.executable, "-m", "loadgen", *options]
    return subprocess.Popen(command, cwd=directory, env=env, stdout=subprocess.DEVNULL)


def show_down_to(page: Page, last: Locator) -> None:
    """Make the window of `page` as high as it must be to show `last`, and no higher."""
    box = last.bounding_box()
    assert box is not None
    assert page.viewport_size is not None
    height = round(box["y"] + box["height"]) + MARGIN
    page.set_viewport_size({"width": page.viewport_size["width"], "height": height})


def take_report(browser: Browser, fleet: Fleet, directory: Path) -> None:
    """Take the HTML report of a run in which users is killed twice."""
    run = load(fleet, directory, "--headless", "--users", "16", "--run-time", "12s")
    wait_until(lambda: list(directory.glob("reports/ledger-*")), what="the run")
    for _ in range(KILLS):
        time.sleep(UP_S)
        fleet.users.kill()
        time.sleep(DOWN_S)
        fleet.users.start()
    if run.wait(VERDICT_MS / 1000):
        sys.exit(f"The run ended with status {run.returncode}. No pictures were changed.")
    (report,) = directory.glob("reports/report-*.html")
    page = browser.new_page(viewport={"width": 860, "height": 800})
    page.goto(report.as_uri())
    show_down_to(page, page.locator("figure").last)
    page.screenshot(path=IMAGES / "report-light.png")


def answers(address: str) -> bool:
    """Return whether a page is served at `address`."""
    try:
        return requests.get(address, timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


def take_page(browser: Browser, fleet: Fleet, directory: Path) -> None:
    """Take the dashboard: while a service is away, and after the run on a desktop and on a phone."""
    port = free_port()
    run = load(fleet, directory, "--web-port", str(port))
    address = f"http://127.0.0.1:{port}/"
    try:
        wait_until(lambda: answers(address), what="the page")
        page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="dark")
        page.goto(address)
        requests.post(f"{address}start", data=PLAN, timeout=5)
        time.sleep(2 * UP_S)
        fleet.products.kill()
        expect(page.locator("#to-products")).to_contain_text("circuit open", timeout=VERDICT_MS)
        time.sleep(DOWN_S)
        show_down_to(page, page.locator("#graphs"))
        page.screenshot(path=IMAGES / "page-outage-dark.png")
        fleet.products.start()
        expect(page.locator("#verdict.good")).to_contain_text("PASS", timeout=VERDICT_MS)
        page.close()
        for name, width, scheme, last in PAGES:
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
            page.goto(address)
            expect(page.locator("#charts figure")).to_have_count(3, timeout=VERDICT_MS)
            page.wait_for_timeout(SETTLE_MS)
            show_down_to(page, page.locator(last))
            page.screenshot(path=IMAGES / f"{name}.png")
            if scheme == "light":
                page.locator("#traces").screenshot(path=IMAGES / "waterfall.png")
            page.close()
    finally:
        run.terminate()
        run.wait(60)


def main() -> None:
    """Start three services, make two runs, take five pictures."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        sys.exit("Chromium is needed for pictures, and there is none (Debian: apt install chromium).")
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        fleet = Fleet(Path(temporary), env={"ACCESS_LOG": "false", "TRACES": "true"})
        try:
            fleet.start()
            take_report(browser, fleet, Path(temporary))
            take_page(browser, fleet, Path(temporary))
        finally:
            fleet.stop()
    print(f"Took {', '.join(sorted(picture.name for picture in IMAGES.glob('*.png')))} in {IMAGES}.")


if __name__ == "__main__":
    main()
