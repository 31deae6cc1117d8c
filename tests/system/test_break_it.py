"""The buttons of the dashboard on a real engine: they break a service, and heal it."""

import json
from collections.abc import Iterator

import pytest
import requests

from testbed import wait_until
from testbed.engine import BUILD_S, Composed

pytestmark = [pytest.mark.alone, pytest.mark.engine, pytest.mark.timeout(BUILD_S)]
HEALED_S = 20.0


@pytest.fixture(scope="module")
def composed(built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    """The services, the load generator without a run, and what breaks services."""
    idle = tmp_path_factory.mktemp("idle") / "idle.yml"
    idle.write_text("services: {loadgen: {environment: {LOCUST_AUTOSTART: 'false'}}}")
    system = Composed(COMPOSE_FILE=f"docker-compose.yml:compose.chaos.yml:{idle}")
    try:
        system.compose("up", "-d", "--build", "--wait")
        yield system
    finally:
        system.compose("down", "-v", "--rmi", "local", check=False)


def shown(system: Composed, service: str) -> dict[str, object]:
    """Return what the dashboard shows of a service."""
    services = requests.get(f"{system.url('loadgen')}/state", timeout=10).json()["system"]["services"]
    found: dict[str, object] = services[service]
    return found


@pytest.mark.parametrize(
    ("fault", "state"), [("kill", {"down"}), ("pause", {"silent"}), ("cut", {"down", "silent"})]
)  # fmt: skip
def test_a_button_breaks_a_service_and_it_heals(composed: Composed, fault: str, state: set[str]) -> None:
    wait_until(lambda: shown(composed, "users")["state"] == "up", HEALED_S, "the service before")
    networks = composed.inspect("users")["NetworkSettings"]["Networks"]
    body = {"service": "users", "fault": fault}
    answer = requests.post(f"{composed.url('loadgen')}/break", data=body, timeout=10)
    assert answer.status_code == 200, answer.text
    assert answer.json()["done"].startswith("users ")
    again = requests.post(f"{composed.url('loadgen')}/break", data=body, timeout=10)
    assert again.status_code == 409
    wait_until(lambda: shown(composed, "users")["state"] in state, HEALED_S, "the fault")
    try:
        wait_until(lambda: shown(composed, "users")["state"] == "up", HEALED_S, "the healing")
    finally:
        print(composed.compose("logs", "chaos").stdout)
    wait_until(lambda: set(composed.inspect("users")["NetworkSettings"]["Networks"]) == set(networks), HEALED_S, "its networks")  # fmt: skip
    assert shown(composed, "products")["state"] == "up"


def test_the_one_that_breaks_is_alone_with_the_load_generator_and_wants_its_token(composed: Composed) -> None:
    found = composed.inspect("chaos")
    assert found["NetworkSettings"]["Ports"] in ({}, None)
    (network,) = found["NetworkSettings"]["Networks"]
    inspected = json.loads(composed.docker("network", "inspect", network))[0]
    assert inspected["Internal"]
    names = {each["Name"] for each in inspected["Containers"].values()}
    assert names == {composed.container("chaos"), composed.container("loadgen")}
    host = found["HostConfig"]
    assert (host["ReadonlyRootfs"], host["CapDrop"], host["Privileged"]) == (True, ["ALL"], False)
    script = (
        "import urllib.request as r\n"
        "try: r.urlopen(r.Request('http://chaos.control:7000/users/kill', b'', {'Authorization': 'Bearer x'}))\n"
        "except Exception as error: print(error.code)"
    )
    assert composed.docker("exec", composed.container("loadgen"), "python", "-c", script).strip() == "401"
    script = "import socket; socket.getaddrinfo('chaos.control', 7000)"
    tried = composed.run("docker", "exec", composed.container("users"), "python", "-c", script, check=False)
    assert tried.returncode != 0
