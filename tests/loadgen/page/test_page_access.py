"""Access to the page, with real processes and a real browser."""

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, expect

from loadgen.page.page_access import is_loopback, page_url
from loadgen.probe import has_page

from ..browser import browser  # noqa: F401 - a fixture
from ..fake import running
from ..process import finish, start
from .serving import VERDICT_MS, attempted, begin, served

TOKENS = ("new-secret", "old-secret")
RUN = {"user_count": 2, "spawn_rate": 2, "users": 2, "writes": 50}  # for Locust's form and for ours


@pytest.fixture(scope="module")
def open_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page on loopback without tokens; yields its address."""
    with served(tmp_path_factory.mktemp("open")) as address:
        yield address


@pytest.fixture(scope="module")
def locked_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page that asks for one of TOKENS, from a file; yields its address."""
    directory = tmp_path_factory.mktemp("locked")
    (directory / "tokens").write_text("\n".join(TOKENS))
    with served(directory, API_TOKEN="not-this-one", API_TOKEN_FILE=str(directory / "tokens")) as address:
        yield address


def basic(password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'anybody:{password}'.encode()).decode()}"}


def runs(address: str, token: str = "") -> str | None:
    """Return the phase of the run that the page shows; None: there was none."""
    phase: str | None = requests.get(f"{address}audit/state", headers=basic(token), timeout=5).json()["phase"]
    return phase


@pytest.mark.parametrize("path", ["", "state", "runs", "timeline", "audit/state", "page/main.js", "start", "stop", "locust/", "locust/assets/x.js", "locust/stats/requests", "locust/stop", "nothing"])  # fmt: skip
@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer wrong", "Bearer not-this-one", "new-secret", *basic("wrong").values(), *basic("").values(), "Basic new-secret", "Bearer \xff"])  # fmt: skip
def test_the_page_reveals_nothing_without_the_token(locked_page: str, path: str, authorization: str | None) -> None:
    headers = {"Authorization": authorization.encode("latin-1")} if authorization else {}
    answer = requests.get(f"{locked_page}{path}", headers=headers, timeout=5)  # type: ignore[arg-type]
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert answer.text == "This page needs the token: as password, with any name, or as bearer.\n"


def test_starts_no_run_without_the_token(locked_page: str) -> None:
    for path in ("start", "stop", "locust/swarm", "locust/stop"):
        assert requests.post(f"{locked_page}{path}", data=RUN, timeout=5).status_code == 401
    assert runs(locked_page, TOKENS[0]) is None


@pytest.mark.parametrize("token", TOKENS)
def test_accepts_each_valid_token_as_password_and_as_bearer(locked_page: str, token: str) -> None:
    for headers in (basic(token), {"Authorization": f"Bearer {token}"}):
        for path in ("", "state", "audit/state", "locust/stats/requests"):
            assert requests.get(f"{locked_page}{path}", headers=headers, timeout=5).status_code == 200


def test_a_browser_asks_for_the_token_and_can_then_start_runs(
    tmp_path: Path,
    browser: Browser,  # noqa: F811
) -> None:
    with served(tmp_path, API_TOKEN=TOKENS[0]) as address:
        context = browser.new_context(http_credentials={"username": "anybody", "password": TOKENS[0]})
        page = context.new_page()
        page.goto(address)
        begin(page, writes="100")
        expect(page.locator("#verdict.good")).to_contain_text("PASS", timeout=VERDICT_MS)
        assert attempted(page) == 133
        context.close()
    for file in tmp_path.iterdir():
        assert TOKENS[0] not in file.read_text()


def test_rejects_a_domain_name_that_resolves_to_this_machine(open_page: str) -> None:
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
    """A site that tries everything that a page of another origin can try."""

    def do_GET(self) -> None:
        page = self.path[1:]
        script = f"""
            const form = new URLSearchParams({{user_count: 2, spawn_rate: 2, users: 2, writes: 50}});
            const tries = [
                fetch("{page}start", {{method: "POST", body: form, mode: "no-cors"}}),
                fetch("{page}start", {{method: "POST", body: form}}),
                fetch("{page}locust/swarm", {{method: "POST", body: form}}),
                fetch("{page}audit/state").then(answer => answer.ok ? answer.text() : Promise.reject(answer.status)),
                new Promise((seen, failed) => {{
                    const script = document.createElement("script");
                    script.src = "{page}page/main.js"; script.onload = seen; script.onerror = failed;
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


def test_another_site_can_link_to_the_page_but_not_read_it_or_start_a_run(
    open_page: str,
    browser: Browser,  # noqa: F811
) -> None:
    with evil_site() as site:
        page = browser.new_page()
        page.goto(f"{site}/{open_page}")
        page.wait_for_function("document.title.startsWith('tried')")
        # An opaque answer fulfils the first promise, so the missing run is what shows that it was refused.
        assert (
            page.title().split()[2:] == ["fulfilled", "fulfilled", "rejected", "rejected"]
            or page.title().split()[2:] == ["rejected"] * 4
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
def test_starts_no_page_beyond_loopback_without_a_token(
    tmp_path: Path, options: tuple[str, ...], env: dict[str, str]
) -> None:
    with running() as urls:
        status, _, err = finish(start(urls | env, tmp_path, *options))
    assert status == 2
    assert err.startswith("loadgen: The page would be at ")
    assert "set API_TOKEN or API_TOKEN_FILE" in err


def test_a_run_without_a_page_needs_no_token(tmp_path: Path) -> None:
    with running() as urls:
        env = urls | {"BIND_ADDRESS": "0.0.0.0"}
        status, out, _ = finish(start(env, tmp_path, "--headless", "--writes", "200", "-u", "4", "-r", "4"))
    assert status == 0, out


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("[::1]", True), ("0.0.0.0", False), ("", False), ("*", False), ("10.0.0.1", False)],
)  # fmt: skip
def test_tells_loopback_addresses_from_others(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("env", "host", "url"),
    [
        ({}, "127.0.0.1", "http://127.0.0.1:8089/load"),
        ({}, "0.0.0.0", "http://127.0.0.1:8089/load"),
        ({}, "::1", "http://[::1]:8089/load"),
        ({"BIND_ADDRESS": "127.0.0.1", "LISTEN_ADDRESS": "0.0.0.0"}, "0.0.0.0", "http://127.0.0.1:8089/load"),
        ({"BIND_ADDRESS": "10.0.0.5", "LISTEN_ADDRESS": "0.0.0.0", "LOADGEN_PORT": "9000"}, "0.0.0.0", "http://10.0.0.5:9000/load"),
        ({"PAGE_URL": "http://127.0.0.1:9000"}, "0.0.0.0", "http://127.0.0.1:9000/load"),
        ({"PAGE_URL": "http://0.0.0.0:9000"}, "0.0.0.0", "http://127.0.0.1:9000/load"),
        ({"PAGE_URL": "https://load.example/page/"}, "0.0.0.0", "https://load.example/page"),
    ],
)  # fmt: skip
def test_prints_the_address_of_the_page_that_a_browser_can_open(env: dict[str, str], host: str, url: str) -> None:
    assert page_url(env, host, 8089, "/load") == url


def test_the_health_check_asks_the_page_only_where_there_is_one() -> None:
    assert has_page(b"/sbin/docker-init\0--\0python\0-m\0loadgen\0")
    assert not has_page(b"/sbin/docker-init\0--\0python\0-m\0loadgen\0--headless\0--writes\x0050\0")
    assert not has_page(b"python\0-m\0loadgen\0--worker\0")


@pytest.mark.parametrize("path", ["start", "stop"])
def test_a_run_is_started_and_stopped_only_by_a_post_of_this_page(open_page: str, path: str) -> None:
    assert requests.get(f"{open_page}{path}", timeout=5).status_code == 405
    origin = {"Origin": "https://evil.example"}
    assert requests.post(f"{open_page}{path}", data=RUN, headers=origin, timeout=5).status_code == 403
    sent = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert requests.post(f"{open_page}{path}", data=RUN, headers=sent, timeout=5).status_code == 403
    assert runs(open_page) is None
