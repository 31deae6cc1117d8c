"""The load generator with its page, as a process, and its page in a browser."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from testbed import free_port, wait_until

from ..fake import running
from ..process import finish, start

VERDICT_MS = 60_000
OVERFLOWING = """[...document.querySelectorAll(".box, .link, .card, .verdict, .word, button, label, h1, h2")]
    .filter(each => each.clientWidth && each.scrollWidth > each.clientWidth + 1).map(each => each.outerHTML.slice(0, 80))"""


@contextmanager
def page_of(urls: dict[str, str], directory: Path, *options: str, base: str = "", **env: str) -> Iterator[str]:
    """Run the load generator for the services at `urls`, without a run; yields the address of its page."""
    port = free_port()
    address = f"http://127.0.0.1:{port}{base}/"
    command = ("--web-host", "127.0.0.1", "--web-port", str(port), "-u", "4", "-r", "4", *options)
    process = start(urls | {"LOCUST_AUTOSTART": "false", "LOCUST_WEB_BASE_PATH": base} | env, directory, *command)
    try:
        wait_until(lambda: answers(address), what="the page")
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        finish(process)


@contextmanager
def served(directory: Path, fault: str | None = None, base: str = "", **env: str) -> Iterator[str]:
    """Run the load generator for services in memory; yields the address of its page."""
    with running(fault) as urls, page_of(urls, directory, base=base, **env) as address:
        yield address


def answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).status_code in (200, 401)
    except requests.ConnectionError:
        return False


def begin(page: Page, **fields: str) -> None:
    """Fill in the form and start a run; returns when the page shows it."""
    expect(page.locator("#start")).to_be_enabled()
    before = page.locator("#about").inner_text()
    for name, value in fields.items():
        page.locator(f"[name={name}]").fill(value)
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#about")).not_to_have_text(before)


def attempted(page: Page) -> int:
    """Return the number of writes in the table of the page."""
    cells = page.locator("#counts tbody tr").first.locator("td").all_inner_texts()
    return int(cells[-1].replace(",", "")) if cells else 0


def accessible(page: Page) -> list[tuple[str, str]]:
    """Return what axe-core finds wrong: each rule with an element that breaks it."""
    found = Axe().run(page).response["violations"]
    return [(each["id"], each["nodes"][0]["html"][:120]) for each in found]
