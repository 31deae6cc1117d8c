"""The documented Compose commands: what they show, how their results are reached, and that `down` removes everything."""

import json
import os
import pty
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from testbed import ROOT, SERVICES, wait_until
from testbed.engine import BUILD_S, Composed, docker

pytestmark = [pytest.mark.alone, pytest.mark.engine, pytest.mark.timeout(BUILD_S)]

SCREEN = 60  # lines
SCENARIO = 'description = "Orders only, nearly"\n\n[actions]\ncreate_user = 1\ncreate_product = 1\ncreate_order = 8\n'


@pytest.fixture(scope="module")
def composed(built: None) -> Iterator[Composed]:
    system = Composed(LOADGEN_WRITES="600")
    try:
        yield system
    finally:
        system.compose("down", "-v", check=False)


def left(composed: Composed) -> list[str]:
    """Return the containers, networks and volumes of the project."""
    label = f"label=com.docker.compose.project={composed.project}"
    return [
        *docker("ps", "-aq", "--filter", label).split(),
        *docker("network", "ls", "-q", "--filter", label).split(),
        *docker("volume", "ls", "-q", "--filter", label).split(),
    ]


def configured(directory: Path, **env: str) -> dict[str, Any]:
    """Return the configuration as Compose resolves it in a directory."""
    done = subprocess.run(
        ["docker", "compose", "config", "--format", "json"],
        cwd=directory, env=os.environ | env, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_up_shows_the_output_of_the_load_generator_and_nothing_of_the_services(composed: Composed) -> None:
    composed.env["LOCUST_HEADLESS"] = "true"
    try:
        shown = composed.compose("up", "--exit-code-from", "loadgen").stdout
    finally:
        del composed.env["LOCUST_HEADLESS"]
    lines = shown.splitlines()
    assert any("PASS" in line for line in lines)
    assert [line for line in lines if line.startswith(tuple(f"{name}-1 " for name in SERVICES))] == []
    assert len(lines) < 2 * SCREEN
    assert '"path":"/users"' in composed.compose("logs", "users").stdout  # where the log of the requests is


def test_down_removes_everything_of_a_distributed_run(composed: Composed) -> None:
    composed.env["LOADGEN_WORKERS"] = "2"
    try:
        composed.compose("up", "-d")
    finally:
        del composed.env["LOADGEN_WORKERS"]
    assert len(docker("ps", "-q", "--filter", f"name={composed.project}-loadgen-worker").split()) == 2
    composed.compose("down", "-v")
    assert left(composed) == []


def test_ctrl_c_ends_a_run_with_its_verdict_and_down_removes_the_rest(composed: Composed) -> None:
    command = ["docker", "compose", "-p", composed.project, "run", "--rm", "loadgen", "--headless"]
    terminal, inner = pty.openpty()
    run = subprocess.Popen(
        [*command, "--writes", "1000000"], cwd=ROOT, env=composed.env, stdin=inner, stdout=inner, stderr=inner
    )
    os.close(inner)
    shown = b""
    with suppress(OSError):  # the other end was closed
        while more := os.read(terminal, 4096):
            if b"\x03" not in shown and b"of 1,000,000" in shown + more:
                os.write(terminal, b"\x03")
                shown += b"\x03"
            shown += more
    assert (run.wait(30), b"PASS" in shown) == (0, True), shown[-3000:]
    composed.compose("down", "-v")
    assert left(composed) == []


def test_a_scenario_of_ones_own_is_one_command_and_its_report_another(composed: Composed, tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text(SCENARIO)
    run = composed.compose(
        "run", "--rm", "-T", "-v", f"{file}:/my.toml:ro", "loadgen", "--headless", "--scenario", "/my.toml", check=False
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-2000:]
    environ = configured(ROOT)["services"]["loadgen"]["environment"]
    first, copy = environ["REPORT_COPY"].split(" && ")
    assert copy == "docker compose cp loadgen:/reports ."
    composed.compose(*first.split()[2:])  # after `run --rm` there is no container to copy from
    composed.compose("cp", "loadgen:/reports", str(tmp_path))
    report = json.loads(next(tmp_path.glob("reports/report-*.json")).read_text())
    assert report["settings"]["scenario"] == "my"
    assert next(tmp_path.glob("reports/report-*.html")).stat().st_uid == os.getuid()


def test_services_are_published_where_bind_address_says(composed: Composed) -> None:
    composed.env |= {"BIND_ADDRESS": "127.0.0.2", "API_TOKEN": "secret"}
    try:
        composed.compose("up", "-d", "users")
        url = f"http://127.0.0.2:{composed.ports['users']}/readyz"
        wait_until(lambda: answers(url), what="users at 127.0.0.2")
        assert not composed.ready("users")  # at 127.0.0.1
    finally:
        del composed.env["BIND_ADDRESS"], composed.env["API_TOKEN"]
        composed.compose("down")


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


@pytest.mark.parametrize("address", ["127.0.0.2", "::1", "0.0.0.0"])
def test_every_port_follows_bind_address_and_no_url_need_be_set(built: None, address: str) -> None:
    found = configured(ROOT, BIND_ADDRESS=address, API_TOKEN="secret")["services"]
    assert {port["host_ip"] for each in found.values() for port in each.get("ports", ())} == {address}
    assert found["orders"]["environment"]["USERS_URL"] == "http://users.inside:8000"


def test_two_checkouts_share_nothing(built: None, tmp_path: Path) -> None:
    names: list[set[str]] = []
    for directory in (tmp_path / "one", tmp_path / "two"):
        directory.mkdir()
        shutil.copy(ROOT / "docker-compose.yml", directory)
        found = configured(directory)
        volumes, networks = found["volumes"].values(), found["networks"].values()
        images = {each["image"] for each in found["services"].values() if "image" in each}
        names.append({found["name"], *images, *(each["name"] for each in (*volumes, *networks))})
    assert not names[0] & names[1]
