"""Who may use the page. Real processes, and for what browsers send a real one."""

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, expect

from loadgen.guard import is_loopback
from loadgen.probe import has_page

from .browser import browser  # noqa: F401 - a fixture
from .fake import running
from .test_loadgen import finish, start
from .test_page import VERDICT_MS, attempted, begin, served

TOKENS = ("new-secret", "old-secret")
RUN = {"user_count": 2, "spawn_rate": 2, "writes": 50}


@pytest.fixture(scope="module")
def open_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a page on loopback without tokens."""
    with served(tmp_path_factory.mktemp("open")) as address:
        yield address


@pytest.fixture(scope="module")
def locked_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a page that wants one of TOKENS, from a file."""
    directory = tmp_path_factory.mktemp("locked")
    (directory / "tokens").write_text("\n".join(TOKENS))
    with served(directory, API_TOKEN="not-this-one", API_TOKEN_FILE=str(directory / "tokens")) as address:
        yield address


def basic(password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'anybody:{password}'.encode()).decode()}"}


def runs(address: str, token: str = "") -> str | None:
    """The phase of the run that the page shows; None: there was none."""
    phase: str | None = requests.get(f"{address}audit/state", headers=basic(token), timeout=5).json()["phase"]
    return phase


@pytest.mark.parametrize("path", ["", "audit", "audit/state", "audit/tab.js", "assets/x.js", "stats/requests", "stop", "logs", "nothing"])  # fmt: skip
@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer wrong", "Bearer not-this-one", "new-secret", *basic("wrong").values(), *basic("").values(), "Basic new-secret", "Bearer \xff"])  # fmt: skip
def test_without_the_token_the_page_tells_nothing(locked_page: str, path: str, authorization: str | None) -> None:
    headers = {"Authorization": authorization.encode("latin-1")} if authorization else {}
    answer = requests.get(f"{locked_page}{path}", headers=headers, timeout=5)  # type: ignore[arg-type]
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert answer.text == "This page needs the token: as password, with any name, or as bearer.\n"


def test_without_the_token_no_run_is_started(locked_page: str) -> None:
    assert requests.post(f"{locked_page}swarm", data=RUN, timeout=5).status_code == 401
    assert runs(locked_page, TOKENS[0]) is None


@pytest.mark.parametrize("token", TOKENS)
def test_each_valid_token_opens_it_as_password_and_as_bearer(locked_page: str, token: str) -> None:
    for headers in (basic(token), {"Authorization": f"Bearer {token}"}):
        for path in ("", "audit", "audit/state", "stats/requests"):
            assert requests.get(f"{locked_page}{path}", headers=headers, timeout=5).status_code == 200


def test_a_browser_asks_for_the_token_and_then_runs_are_started_as_ever(
    tmp_path: Path,
    browser: Browser,  # noqa: F811
) -> None:
    with served(tmp_path, API_TOKEN=TOKENS[0]) as address:
        context = browser.new_context(http_credentials={"username": "anybody", "password": TOKENS[0]})
        page = context.new_page()
        page.goto(address)
        tab = begin(page, 100)
        expect(tab.locator("#verdict.good")).to_contain_text("PASS", timeout=VERDICT_MS)
        assert attempted(tab) == 133
        context.close()
    for file in tmp_path.iterdir():
        assert TOKENS[0] not in file.read_text()


def test_a_name_that_leads_here_by_rebinding_is_refused(open_page: str) -> None:
    for name in (
        "evil.example",
        "evil.example:8089",
        "127.0.0.1.evil.example",
        "localhost.evil",
        "evil.",
        "",
    ):
        assert requests.get(open_page, headers={"Host": name}, timeout=5).status_code in (400, 403), name
    for name in ("localhost", "localhost:1", "127.0.0.1", "[::1]:8089", "loadgen:8089", "172.18.0.5:8089"):
        assert requests.get(open_page, headers={"Host": name}, timeout=5).status_code == 200, name


class Evil(BaseHTTPRequestHandler):
    """A site that tries what a page of another origin can try."""

    def do_GET(self) -> None:
        page = self.path[1:]
        script = f"""
            const form = new URLSearchParams({{user_count: 2, spawn_rate: 2, writes: 50}});
            const tries = [
                fetch("{page}swarm", {{method: "POST", body: form, mode: "no-cors"}}),
                fetch("{page}swarm", {{method: "POST", body: form}}),
                fetch("{page}audit/state").then(answer => answer.ok ? answer.text() : Promise.reject(answer.status)),
                new Promise((seen, failed) => {{
                    const script = document.createElement("script");
                    script.src = "{page}audit/tab.js"; script.onload = seen; script.onerror = failed;
                    document.body.append(script);
                }}),
            ];
            Promise.allSettled(tries).then(all => document.title = "tried " + all.map(each => each.status).join(" "));
        """
        body = f"<!doctype html><body><a href='{page}'>link</a><script>{script}</script>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def evil_site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Evil)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_page_of_another_site_can_neither_start_a_run_nor_read_but_may_link(
    open_page: str,
    browser: Browser,  # noqa: F811
) -> None:
    with evil_site() as site:
        page = browser.new_page()
        page.goto(f"{site}/{open_page}")
        page.wait_for_function("document.title.startsWith('tried')")
        # An opaque answer fulfils the first; that it was refused shows in what did not happen.
        assert (
            page.title().split()[2:] == ["fulfilled", "rejected", "rejected"]
            or page.title().split()[2:] == ["rejected"] * 3
        )
        assert runs(open_page) is None
        page.get_by_role("link", name="link").click()
        expect(page.get_by_role("button", name="Start")).to_be_visible()
        page.close()


@pytest.mark.parametrize(
    ("options", "env"),
    [
        (("--web-host", "0.0.0.0"), {}),
        (("--web-host", "*"), {}),
        ((), {"BIND_ADDRESS": "192.168.1.5"}),
        (("--web-host", "127.0.0.1"), {"BIND_ADDRESS": "0.0.0.0"}),
        (("--web-host", "0.0.0.0"), {"BIND_ADDRESS": "127.0.0.1"}),
        (("--web-host", "0.0.0.0"), {"BIND_ADDRESS": "127.0.0.1", "LISTEN_ADDRESS": "127.0.0.1"}),
        ((), {"LISTEN_ADDRESS": "0.0.0.0"}),
        ((), {"LISTEN_ADDRESS": "0.0.0.0", "BIND_ADDRESS": "0.0.0.0"}),
    ],
)
def test_beyond_loopback_the_page_does_not_start_without_a_token(
    tmp_path: Path, options: tuple[str, ...], env: dict[str, str]
) -> None:
    with running() as urls:
        status, _, err = finish(start(urls | env, tmp_path, *options))
    assert status == 2
    assert err.startswith("loadgen: The page would be at ")
    assert "set API_TOKEN or API_TOKEN_FILE" in err


def test_a_run_without_a_page_needs_no_token_wherever_the_services_are(tmp_path: Path) -> None:
    with running() as urls:
        env = urls | {"BIND_ADDRESS": "0.0.0.0"}
        status, out, _ = finish(start(env, tmp_path, "--headless", "--writes", "200", "-u", "4", "-r", "4"))
    assert status == 0, out


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("[::1]", True), ("0.0.0.0", False), ("", False), ("*", False), ("10.0.0.1", False)],
)  # fmt: skip
def test_only_addresses_of_this_machine_alone_are_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_the_health_check_asks_a_page_where_there_is_one() -> None:
    assert has_page(b"/sbin/docker-init\0--\0python\0-m\0loadgen\0")
    assert not has_page(b"/sbin/docker-init\0--\0python\0-m\0loadgen\0--headless\0--writes\x0050\0")
    assert not has_page(b"python\0-m\0loadgen\0--worker\0")
