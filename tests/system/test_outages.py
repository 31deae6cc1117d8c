"""Outages of services, disks and locks: correct answers meanwhile, and a quick recovery."""

import resource
import signal
import socket
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests

from testbed import Fleet, Process, wait_until

from .clients import Door, Load, at_once, body_for, everything, metric, post

pytestmark = pytest.mark.alone
LOOKUP_DEADLINE_S = 6  # seconds: the round before and its own, 2 each, one of patience, one to answer
STRIKE_S = 0.2  # seconds until a signal takes effect
RECOVERY_S = 4  # seconds; a hanging probe may take 1, the pause before the next one 1.25
LOCKED_S = 3  # seconds; a transaction waits one for the lock, perhaps behind another that waits, too
MEMORY_MB = (
    30  # kept by the allocator: 18 MB on a machine that refuses many orders a second; a pile of them would need more
)
UNKNOWN_USER = {"user_id": 999_999, "product_id": 1, "quantity": 1}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Fleet]:
    """A fleet with user 1 and product 1, which all orders name."""
    running = Fleet(tmp_path)
    try:
        running.start()
        feed(running)
        yield running
    finally:
        running.stop()


def listens(process: Process) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", process.port)) == 0


def feed(fleet: Fleet) -> None:
    assert post(fleet.users, body_for("users", 10_000)).status_code == 201
    assert post(fleet.products, body_for("products", 10_000)).status_code == 201


def repeat(stop: threading.Event, ask: Callable[[], requests.Response]) -> list[requests.Response]:
    """Call `ask` repeatedly until `stop` is set, and return the answers."""
    answers = []
    while not stop.is_set():
        answers.append(ask())
        stop.wait(0.01)
    return answers


@pytest.mark.parametrize(("victim", "how", "seconds"), [("users", signal.SIGKILL, 10), ("products", signal.SIGSTOP, 7)])
def test_orders_are_refused_during_an_outage_and_accepted_after_it(
    shop: Fleet, victim: str, how: signal.Signals, seconds: float
) -> None:
    away: Process = getattr(shop, victim)
    load = Load(shop.orders)
    load.await_more(200)
    reads: list[requests.Response] = []
    over = threading.Event()
    url = f"{shop.orders.url}/orders/{load.acknowledged()[0].item['id']}"
    reader = threading.Thread(
        target=lambda: reads.extend(repeat(over, lambda: requests.get(url, timeout=30))), daemon=True
    )
    probes: list[requests.Response] = []
    prober = threading.Thread(
        target=lambda: probes.extend(repeat(over, lambda: post(shop.orders, UNKNOWN_USER))), daemon=True
    )

    began = time.monotonic()
    away.signal(how)
    struck = time.monotonic()
    wait_until(lambda: sum(bool(attempt.kind) for attempt in list(load.attempts)) > 100, 15, "refused orders")
    memory, failed = shop.orders.resident_mb(), metric(shop.orders, "lookup_attempts_total", outcome="failed")
    reader.start()
    prober.start()
    over.wait(max(0.0, began + seconds - time.monotonic()))  # the outage lasts
    assert shop.orders.resident_mb() - memory < MEMORY_MB
    failed = metric(shop.orders, "lookup_attempts_total", outcome="failed") - failed
    assert requests.get(f"{shop.orders.url}/readyz", timeout=10).status_code == 200
    assert post(shop.orders, {"items": [body_for("orders", 1)]}, "/batch").status_code == 503
    assert requests.get(f"{url}?expand=user,product", timeout=10).status_code == 503
    ended = time.monotonic()
    away.start() if how == signal.SIGKILL else away.signal(signal.SIGCONT)
    returned = time.monotonic()
    wait_until(
        lambda: any(attempt.status == 201 and attempt.began > ended for attempt in list(load.attempts)),
        RECOVERY_S,
        "orders accepted again",
    )
    over.wait(max(0.0, returned + RECOVERY_S - time.monotonic()))
    load.await_more(200)
    over.set()
    reader.join()
    prober.join()

    attempts = load.end()
    during = [attempt for attempt in attempts if attempt.began > began and attempt.ended < ended and attempt.status]
    refused = [attempt for attempt in during if attempt.status == 503]
    assert len(refused) > 20
    assert {(attempt.kind, attempt.retry_after) for attempt in refused} == {("dependency-unavailable", "1")}
    assert max(attempt.ended - attempt.began for attempt in attempts) < LOOKUP_DEADLINE_S
    accepted = [attempt for attempt in during if attempt.status == 201]
    assert {attempt.status for attempt in during} <= {201, 503}
    assert len(accepted) <= 2 * 16  # those whose look-ups had ended when the outage began
    assert not [attempt for attempt in accepted if attempt.began > struck + STRIKE_S]
    assert failed <= 3 + seconds / 0.75  # with an open circuit: a probe now and then, not one for each order
    assert Counter(read.status_code for read in reads) == {200: len(reads)}
    assert max(read.elapsed.total_seconds() for read in reads) < 1
    assert probes and {probe.status_code for probe in probes} <= {422, 503}
    late = [attempt for attempt in attempts if attempt.began > returned + RECOVERY_S]
    assert late and all(attempt.status == 201 for attempt in late)
    assert not any(attempt.unknown() for attempt in attempts)
    load.check()  # no refused order is there
    assert Counter(identity["user_id"] for identity in everything(shop.orders)) == {1: len(load.acknowledged())}


def test_an_endless_answer_is_abandoned_at_the_deadline(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    door = Door(fleet.users)
    fleet.orders.env["USERS_URL"] = door.url
    try:
        fleet.start()
        feed(fleet)
        assert post(fleet.orders, body_for("orders", 1)).status_code == 201
        door.dripping.set()
        refused = post(fleet.orders, body_for("orders", 2))
        assert refused.status_code == 503
        assert refused.elapsed.total_seconds() < LOOKUP_DEADLINE_S
        door.dripping.clear()  # a dripping answer goes on; new requests are answered normally
        wait_until(
            lambda: post(fleet.orders, body_for("orders", 3)).status_code == 201, RECOVERY_S, "an order accepted"
        )
    finally:
        door.close()
        fleet.stop()


def test_a_hanging_look_up_is_abandoned_at_the_deadline(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, env={"LOOKUP_TIMEOUT": "1", "LOOKUP_ATTEMPT_TIMEOUT": "3"})
    door = Door(fleet.users)
    fleet.orders.env["USERS_URL"] = door.url
    try:
        fleet.start()
        feed(fleet)
        assert post(fleet.orders, body_for("orders", 1)).status_code == 201
        door.open.clear()
        refused = post(fleet.orders, body_for("orders", 2))
        assert refused.status_code == 503
        assert refused.elapsed.total_seconds() < 2
        assert metric(fleet.orders, "lookup_attempts_total", outcome="failed") == 1
    finally:
        door.close()
        fleet.stop()


@pytest.mark.parametrize("service", ["users", "orders"])
def test_a_full_disk_refuses_writes_and_recovers_by_itself(shop: Fleet, service: str) -> None:
    """The limit is real: the operating system does not let the worker's files grow."""
    process: Process = getattr(shop, service)
    process.stop()
    process.env["ACCESS_LOG"] = "0"  # the limit would affect the log, too
    process.start()
    assert process.process is not None
    children = Path(f"/proc/{process.process.pid}/task/{process.process.pid}/children").read_text().split()
    (worker,) = map(int, children)
    load = Load(process)
    load.await_more(100)
    soft, hard = resource.prlimit(worker, resource.RLIMIT_FSIZE)
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (0, hard))
    wait_until(lambda: sum(attempt.status == 503 for attempt in list(load.attempts)) > 50, what="refused writes")
    wait_until(lambda: requests.get(f"{process.url}/readyz", timeout=10).status_code == 503, what="not ready")
    assert requests.get(f"{process.url}/livez", timeout=10).status_code == 200
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (soft, hard))
    wait_until(lambda: requests.get(f"{process.url}/readyz", timeout=10).status_code == 200, 5, "ready again")
    load.await_more(100)
    attempts = load.end()
    kinds = {attempt.kind for attempt in attempts if attempt.status != 201}
    assert kinds <= {"storage-unavailable", "outcome-unknown"} and kinds
    told = [attempt for attempt in attempts if attempt.kind == "storage-unavailable"]
    assert all(attempt.retry_after for attempt in told)
    load.settle()
    if service == "orders":
        load.check()
    else:  # user 1 is the shop's
        there = {item["email"] for item in everything(process)}
        assert not {body_for(service, attempt.number)["email"] for attempt in told} & there
        assert {attempt.item["email"] for attempt in load.acknowledged()} <= there


def test_while_another_program_locks_a_database_only_its_writes_are_refused(shop: Fleet) -> None:
    """Another process begins a transaction and does not end it, as in the sqlite3 shell."""
    users = shop.users
    with closing(sqlite3.connect(users.database, isolation_level=None)) as somebody:
        somebody.execute("BEGIN IMMEDIATE")
        for answer in at_once(8, lambda n: post(users, body_for("users", n + 1))):
            assert (answer.status_code, answer.json()["type"]) == (503, "/problems/storage-unavailable")
            assert answer.headers["Retry-After"].isdigit()
            assert answer.elapsed.total_seconds() < LOCKED_S
        over = threading.Event()
        writer = threading.Thread(target=repeat, args=(over, lambda: post(users, body_for("users", 1))))
        writer.start()
        try:
            for path, status in [("/livez", 200), ("/users/1", 200), ("/users?ids=1", 200), ("/readyz", 503)] * 2:
                answer = requests.get(users.url + path, timeout=10)
                assert answer.status_code == status
                assert answer.elapsed.total_seconds() < (LOCKED_S if path == "/readyz" else 0.5)
            assert post(shop.orders, body_for("orders", 1)).status_code == 201  # look-ups of users still work
        finally:
            over.set()
            writer.join()
        somebody.execute("ROLLBACK")
    assert users.ready()
    assert post(users, body_for("users", 1)).status_code == 201
    assert [item["id"] for item in everything(users)] == [1, 2]


def test_a_full_log_device_costs_no_answer(own_fleet: Fleet) -> None:
    own_fleet.users.stop()
    own_fleet.users.log = Path("/dev/full")
    own_fleet.users.start(wait=False)
    wait_until(lambda: listens(own_fleet.users), what="users listening")
    assert post(own_fleet.users, body_for("users", 1)).status_code == 201
