"""The composed system on a real engine: started, used, broken and restarted as users would."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from testbed import SERVICES, wait_until
from testbed.engine import BUILD_S, Composed

pytestmark = [pytest.mark.alone, pytest.mark.engine, pytest.mark.timeout(BUILD_S)]


@pytest.fixture(scope="module")
def composed(built: None) -> Iterator[Composed]:
    """The three services, up and healthy."""
    system = Composed()
    try:
        system.compose("up", "-d", "--wait", *SERVICES)
        yield system
    finally:
        system.compose("down", "-v", "--remove-orphans", check=False)


@pytest.fixture
def order(composed: Composed) -> dict[str, Any]:
    """The body of an acceptable order."""
    email = f"ada-{os.urandom(6).hex()}@example.com"
    user = composed.post("users", {"name": "Ada", "email": email})
    product = composed.post("products", {"name": "Tea", "price": "19.99"})
    assert (user.status_code, product.status_code) == (201, 201)
    return {"user_id": user.json()["id"], "product_id": product.json()["id"], "quantity": 2}


def test_compose_accepts_its_file_without_warnings(composed: Composed) -> None:
    assert composed.compose("config", "--quiet").stderr == ""


def test_an_order_is_checked_and_written(composed: Composed, order: dict[str, Any]) -> None:
    written = composed.post("orders", order)
    assert written.status_code == 201
    assert written.json()["total"] == "39.98"
    unknown = composed.post("orders", order | {"user_id": 10**12})
    assert unknown.json()["type"] == "/problems/unknown-reference"


def test_down_and_up_keep_the_data(composed: Composed, order: dict[str, Any]) -> None:
    before = composed.post("orders", order).json()
    composed.compose("down")
    composed.compose("up", "-d", "--wait", *SERVICES)
    assert requests.get(f"{composed.url('orders')}/orders/{before['id']}", timeout=10).json() == before
    assert composed.post("orders", order).json()["id"] == before["id"] + 1


@pytest.mark.parametrize("stopped", ["users", "products"])
def test_orders_are_refused_while_a_service_is_down_and_accepted_afterwards(
    composed: Composed, order: dict[str, Any], stopped: str
) -> None:
    written = composed.post("orders", order).json()
    composed.compose("stop", stopped)
    refused = composed.post("orders", order)
    assert refused.status_code == 503
    assert refused.json()["type"] == "/problems/dependency-unavailable"
    assert int(refused.headers["Retry-After"]) >= 1
    assert composed.ready("orders")
    assert requests.get(f"{composed.url('orders')}/orders/{written['id']}", timeout=10).json() == written
    composed.compose("start", stopped)
    again = wait_until(lambda: (a := composed.post("orders", order)).status_code == 201 and a, what="orders accepted")
    assert again.json()["id"] == written["id"] + 1


def test_a_killed_service_comes_back_with_every_acknowledged_write(composed: Composed, order: dict[str, Any]) -> None:
    written = [composed.post("orders", order).json() for _ in range(20)]
    kill_all_but_init = "import os, signal; os.kill(-1, signal.SIGKILL)"
    started = composed.inspect("orders")["State"]["StartedAt"]
    composed.compose("exec", "-T", "orders", "python", "-c", kill_all_but_init, check=False)
    wait_until(lambda: composed.inspect("orders")["State"]["StartedAt"] != started, what="the restart")
    wait_until(lambda: composed.ready("orders"), what="orders ready")
    for order_ in written:
        assert requests.get(f"{composed.url('orders')}/orders/{order_['id']}", timeout=10).json() == order_


def test_a_stop_drains_within_the_grace_period(composed: Composed, order: dict[str, Any]) -> None:
    composed.post("orders", order)
    composed.compose("stop", "orders")
    assert composed.inspect("orders")["State"]["ExitCode"] == 0
    composed.compose("start", "orders")
    wait_until(lambda: composed.ready("orders"), what="orders ready")


def test_the_exit_status_of_the_load_generator_is_its_verdict(composed: Composed) -> None:
    run = composed.compose("run", "--rm", "-T", "loadgen", "--headless", "--writes", "2000", check=False)
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    assert "PASS" in run.stdout


def test_workers_share_the_load_and_the_master_combines_their_verdicts(composed: Composed) -> None:
    composed.env |= {"LOADGEN_WRITES": "1200", "LOADGEN_WORKERS": "2"}
    page = composed.url("loadgen")
    try:
        composed.compose("up", "-d")
        state = wait_until(lambda: judged(page), timeout=120, what="a verdict")
        workers = state["workers"]
        assert (state["verdict"], state["report"]["load"]["writes"], len(workers)) == (0, 1200, 2), state
        for each in workers:
            assert each["files"] == ["report", "html", "ledger"]
            ledger = requests.get(f"{page}/audit/{each['run']}/ledger", timeout=10).text
            assert ledger.startswith(f'{{"event":"run","run":"{each["run"]}"')
        composed.compose("stop", "loadgen", "loadgen-worker")
        containers = composed.compose("ps", "-a", "--format", "{{.Service}} {{.ExitCode}}").stdout.split("\n")
        ended = sorted(line for line in containers if line.startswith("loadgen"))
        assert ended == ["loadgen 0", "loadgen-worker 0", "loadgen-worker 0"]
    finally:
        del composed.env["LOADGEN_WRITES"], composed.env["LOADGEN_WORKERS"]
        composed.compose("rm", "-fs", "loadgen", "loadgen-worker", check=False)


def judged(page: str) -> Any:
    """Return the state of the load generator's run, once it has a verdict."""
    try:
        state = requests.get(f"{page}/audit/state", timeout=5).json()
    except requests.ConnectionError:
        return None
    return state if state["phase"] == "done" else None
