"""The buttons that break services: only where there is something to press them for."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import requests
from playwright.sync_api import Browser, expect

from ..browser import browser  # noqa: F401 - a fixture
from .serving import OVERFLOWING, accessible, served


@contextmanager
def control(struck: list[tuple[str, str | None]], status: int = 200) -> Iterator[str]:
    """Serve in place of the container that breaks services; `struck` are paths and tokens."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            struck.append((self.path, self.headers["Authorization"]))
            body = json.dumps({"seconds": 5} if status == 200 else {"error": "users is broken already."}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_without_the_chaos_file_nothing_can_be_broken(tmp_path: Path) -> None:
    with served(tmp_path) as address:
        assert "Break it" not in requests.get(address, timeout=5).text
        answer = requests.post(f"{address}break", data={"service": "users", "fault": "kill"}, timeout=5)
        assert answer.status_code == 404


def test_each_button_breaks_its_service(tmp_path: Path, browser: Browser) -> None:  # noqa: F811
    (tmp_path / "token").write_text("secret")
    struck: list[tuple[str, str | None]] = []
    with control(struck) as url:
        env = {"CHAOS_URL": url, "CHAOS_TOKEN_FILE": str(tmp_path / "token")}
        with served(tmp_path, **env) as address:
            page = browser.new_page()
            page.goto(address)
            for service in ("users", "products", "orders"):
                for fault in ("kill", "pause", "cut"):
                    page.get_by_role("button", name=f"{fault} {service}").click()
                    expect(page.locator("#struck")).to_contain_text(service)
                    expect(page.locator("#struck")).to_contain_text("5 s")
            assert struck == [
                (f"/{service}/{fault}", "Bearer secret")
                for service in ("users", "products", "orders")
                for fault in ("kill", "pause", "cut")
            ]
            page.close()
            for width, scheme in ((1280, "light"), (390, "dark")):
                page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
                page.goto(address)
                expect(page.get_by_role("button", name="cut orders")).to_be_visible()
                assert accessible(page) == []
                assert page.evaluate(OVERFLOWING) == []
                page.close()
            for body in ({"service": "database", "fault": "kill"}, {"service": "users", "fault": "../x"}, {}):
                assert requests.post(f"{address}break", data=body, timeout=5).status_code == 404
            hostile = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
            body = {"service": "users", "fault": "kill"}
            assert requests.post(f"{address}break", data=body, headers=hostile, timeout=5).status_code == 403
            assert len(struck) == 9
    with control(struck, 409) as url, served(tmp_path, **env | {"CHAOS_URL": url}) as address:
        answer = requests.post(f"{address}break", data=body, timeout=5)
        assert (answer.status_code, answer.json()) == (409, {"error": "users is broken already."})
