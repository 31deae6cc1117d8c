"""A known hole in a locked package fails `make check`; a source that cannot be asked does not, and is never a pass."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tools.audit import LOCKS

from ..fleet import free_port

ROOT = Path(__file__).parents[2]
RECORDS = sorted((ROOT / "requirements").glob("*.txt"))
HASH = "    --hash=sha256:" + "0" * 64
Answer = Callable[[str], tuple[int, dict[str, Any]]]
HOLE = {
    "id": "GHSA-0000-0000-0000",
    "aliases": [],
    "summary": "made up",
    "affected": [
        {
            "package": {"name": "flask", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99"}]}],
        }
    ],
}


@contextmanager
def osv(answer: Answer) -> Iterator[str]:
    """A source of known holes, in OSV's form; `answer` gives status and body for the name of a package."""

    class Source(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, content = answer(asked["package"]["name"])
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Source)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    file = tmp_path / "lock.txt"
    file.write_text(f"blinker==1.9.0 \\\n{HASH}\n    # via flask\nflask==3.1.0 \\\n{HASH}\n")
    return file


def audited(url: str, *locks: Path) -> tuple[int, str]:
    command = [sys.executable, "tools/audit.py", *map(str, locks)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"OSV_URL": url}, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


def test_a_known_hole_fails_and_is_named(lock: Path) -> None:
    with osv(lambda name: (200, {"vulns": [HOLE]} if name == "flask" else {})) as url:
        status, told = audited(url, lock)
    assert status == 1
    assert "flask 3.1.0 has GHSA-0000-0000-0000, fixed in 99" in told


def test_everything_that_is_locked_is_asked_for() -> None:
    asked = set()
    with osv(lambda name: (asked.add(name) or 200, {})) as url:
        status, told = audited(url)
    assert status == 0
    assert f"No hole is known in {len(asked)} locked packages" in told
    pins = {file: set(re.findall(r"^[a-z0-9-]+==[^ ;]+", file.read_text(), re.MULTILINE)) for file in RECORDS}
    everywhere = re.findall(r"^([a-z0-9-]+)==[^ ]+ \\$", (ROOT / "requirements/bench.txt").read_text(), re.MULTILINE)
    assert len(everywhere) > 50  # the others are for other systems
    assert asked >= set(everywhere)
    assert set().union(*pins.values()) == set().union(*(pins[ROOT / lock] for lock in LOCKS))
    assert {"flask", "locust", "pytest", "fastapi"} <= asked


@pytest.mark.parametrize("status", [404, 500, 503])
def test_a_source_that_answers_with_an_error_has_checked_nothing(lock: Path, status: int) -> None:
    with osv(lambda _: (status, {})) as url:
        code, told = audited(url, lock)
    assert code == 0
    assert "WARNING: known holes in locked packages were NOT checked" in told


def test_a_source_that_is_not_there_has_checked_nothing(lock: Path) -> None:
    status, told = audited(f"http://127.0.0.1:{free_port()}/", lock)
    assert status == 0
    assert "WARNING: known holes in locked packages were NOT checked" in told


def test_an_audit_that_cannot_be_made_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "lock.txt").write_text("flask>=3\n")
    status, told = audited("http://127.0.0.1:9/", tmp_path / "lock.txt")
    assert status == 2
    assert "The audit of locked packages failed" in told
