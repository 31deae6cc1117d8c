"""Services that are killed, stopped and restarted under load: no acknowledged write is lost."""

import json
import os
import signal
import time
from pathlib import Path

import apsw
import gevent
import pytest
import requests
from gevent import socket
from gevent.event import AsyncResult, Event
from prometheus_client import CollectorRegistry

from service_common.server import gunicorn_conf
from service_common.server.connection_limits import ConnectionLimits
from service_common.server.connections import Connection
from service_common.server.worker import GRACE_S
from service_common.settings import Settings
from testbed import Fleet, Process, wait_until

from . import hurried
from .clients import Load, body_for, everything, post
from .loadgen import Run, violated


def integrity(path: Path) -> str:
    with apsw.Connection(str(path)) as db:
        return str(db.pragma("integrity_check"))


@pytest.mark.parametrize("victim", ["users", "products", "orders"])
def test_a_service_killed_under_load_loses_no_acknowledged_write(own_fleet: Fleet, tmp_path: Path, victim: str) -> None:
    run = Run(own_fleet, tmp_path / "reports", writes=4000)
    process = getattr(own_fleet, victim)
    for acknowledged in (400, 1200):
        run.under_way(acknowledged)
        process.kill()
        process.start()
    status, report, printed = run.end()
    assert (status, violated(report)) == (0, set()), printed
    assert {each["service"] for each in report["restarts"]} == {victim}
    assert integrity(process.database) == "ok"


def test_a_rolling_restart_under_load_loses_nothing(own_fleet: Fleet, tmp_path: Path) -> None:
    run = Run(own_fleet, tmp_path / "reports", writes=4000)
    for number, process in enumerate(own_fleet.all, start=1):
        run.under_way(400 * number)
        assert process.stop() == 0
        assert not process.database.with_name(f"{process.service}.db-wal").exists()  # checkpointed
        process.start()
    status, report, printed = run.end()
    assert (status, violated(report)) == (0, set()), printed


def test_idle_connections_do_not_delay_a_stop(own_fleet: Fleet) -> None:
    sessions = [requests.Session() for _ in range(20)]
    for session in sessions:
        assert session.get(f"{own_fleet.users.url}/livez", timeout=10).status_code == 200
    began = time.monotonic()
    assert own_fleet.users.stop() == 0
    assert time.monotonic() - began < 5


def test_a_stalled_client_does_not_keep_a_stop_from_closing_the_database(tmp_path: Path) -> None:
    users = Process("users", "tests.system.hurried:create_app()", tmp_path, {}).start()
    try:
        with socket.create_connection(("127.0.0.1", users.port), 20) as stalled:
            head = b"POST /users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
            stalled.sendall(head + b"{")
            assert (
                requests.get(f"{users.url}/livez", timeout=10).status_code == 200
            )  # by now the stalled request has arrived, too
            began = time.monotonic()
            assert users.stop() == 0
            assert hurried.GRACE_S <= time.monotonic() - began < hurried.GRACE_S + 5
    finally:
        users.stop()
    assert "1 requests did not end in time" in users.logged()
    assert not users.database.with_name("users.db-wal").exists()  # checkpointed


def test_gunicorn_waits_longer_than_a_stop_may_take() -> None:
    assert gunicorn_conf.graceful_timeout > GRACE_S + 1 + Settings().drain_timeout + 1


@pytest.fixture
def shop(own_fleet: Fleet) -> Fleet:
    """A fleet with user 1 and product 1, which every order of a `Load` names."""
    assert post(own_fleet.users, body_for("users", 10_000)).status_code == 201
    assert post(own_fleet.products, body_for("products", 10_000)).status_code == 201
    return own_fleet


def worker_of(process: Process) -> int:
    """Return the process id of gunicorn's only worker."""
    assert process.process is not None
    arbiter = process.process.pid
    (worker,) = Path(f"/proc/{arbiter}/task/{arbiter}/children").read_text().split()
    return int(worker)


def check_exactly_once(load: Load) -> None:
    """Check that the database holds exactly the acknowledged writes, besides the shop's own."""
    items = [item for item in everything(load.process) if load.process.service == "orders" or item["id"] != 1]
    assert items == sorted((attempt.item for attempt in load.acknowledged()), key=lambda item: item["id"])
    sent = {attempt.item["id"]: body_for(load.process.service, attempt.number) for attempt in load.acknowledged()}
    assert all(sent[item["id"]].items() <= item.items() for item in items)
    assert integrity(load.process.database) == "ok"


@pytest.mark.parametrize("service", ["users", "products", "orders"])
def test_after_a_kill_of_any_process_each_write_is_there_exactly_once(shop: Fleet, service: str) -> None:
    process: Process = getattr(shop, service)
    load = Load(process)
    load.await_more(200)

    os.kill(worker_of(process), signal.SIGKILL)  # the arbiter starts another one
    load.await_more(200)

    process.kill()
    process.start()
    load.await_more(200)

    assert process.process is not None
    orphan = worker_of(process)
    os.kill(process.process.pid, signal.SIGKILL)  # the arbiter alone; its worker must not go on writing
    process.process.wait(10)
    wait_until(lambda: not Path(f"/proc/{orphan}").exists(), what="the orphaned worker gone")
    process.start()
    load.await_more(200)

    load.end()
    assert load.settle() >= 1  # some got no answer
    check_exactly_once(load)


@pytest.mark.parametrize("service", ["users", "orders"])
def test_a_stop_under_load_answers_and_keeps_requests_in_flight(shop: Fleet, service: str) -> None:
    process: Process = getattr(shop, service)
    load = Load(process, threads=48)
    load.await_more(400)
    began = time.monotonic()
    assert process.stop() == 0
    assert time.monotonic() - began < GRACE_S
    attempts = load.end()
    assert not process.database.with_name(f"{service}.db-wal").exists()  # checkpointed and closed

    answered = {(attempt.status, attempt.kind) for attempt in attempts if attempt.status is not None}
    assert answered <= {(201, ""), (503, "overloaded"), (503, "dependency-unavailable")}
    # A request in the service's log was received, so it must have been answered.
    seen = {line["request_id"] for line in map(json.loads, process.logged().splitlines()) if "request_id" in line}
    lost = [attempt for attempt in attempts if attempt.status is None and attempt.key in seen]
    assert not lost
    process.start()
    check_exactly_once(load)  # without settling: nothing was written without an acknowledgement


def test_a_restart_keeps_items_and_keys(shop: Fleet) -> None:
    assert post(shop.orders, body_for("orders", 5), **{"Idempotency-Key": "kept"}).status_code == 201
    before = [everything(process) for process in shop.all]
    for process in shop.all:
        assert process.stop() == 0
    for process in shop.all:
        process.start()
    assert [everything(process) for process in shop.all] == before
    again = post(shop.orders, body_for("orders", 5), **{"Idempotency-Key": "kept"})
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert post(shop.orders, body_for("orders", 6)).json()["id"] == 2


def test_a_stop_does_not_end_a_request_that_has_just_arrived() -> None:
    """The connection is idle when the stop checks it, and busy when the stop takes effect."""
    ended: list[str] = []
    handled = Event()

    def handle(connection: Connection, _address: object) -> None:
        with connection.awaiting_request:
            connection.recv(1)
        try:
            AsyncResult().get(timeout=0.05)  # a request that waits for its write
        except gevent.Timeout as timeout:
            ended.append(type(timeout).__name__)
        handled.set()

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    limits = ConnectionLimits(Settings(), CollectorRegistry())
    server = limits.serve(listener, handle)
    client = socket.create_connection(listener.getsockname())

    def arrive() -> None:
        client.send(b"x")
        time.sleep(0.02)  # block the loop, so that it sees the request and the stop in the same iteration

    gevent.sleep(0.01)
    assert len(limits.connections) == 1
    gevent.spawn(arrive)
    gevent.sleep(0.01)
    limits.end_idle()
    handled.wait(timeout=5)
    server.stop()
    assert ended == ["Timeout"]  # the request's own timeout, not that of an idle connection
