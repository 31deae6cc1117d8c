"""A service with replicas on the dashboard: each is asked, and they are shown as one."""

import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from loadgen.page.system import Watched
from testbed import Process, wait_until
from testbed.process import stop_all


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Process]]:
    """Three processes with databases of their own: the page cannot tell them from replicas."""
    started = [
        Process(
            "users",
            "users_service.app:create_app()",
            tmp_path_factory.mktemp("users"),
            {"ACCESS_LOG": "false", "STOP_DELAY": "5"},
        )
        for _ in range(3)
    ]
    try:
        for process in started:
            process.start()
        yield started
    finally:
        stop_all(started)


def shown(watched: Watched) -> dict[str, Any]:
    watched.ask()
    return watched.as_json()


def test_replicas_are_found_by_name_and_shown_as_one(replicas: list[Process], monkeypatch: pytest.MonkeyPatch) -> None:
    named = [process.port for process in replicas]

    usual = socket.getaddrinfo

    def resolve(host: str, *args: Any, **options: Any) -> list[Any]:
        if host != "users.each":
            return usual(host, *args, **options)
        if not named:
            raise socket.gaierror("no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in named]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    watched = Watched("users", "http://front.example", "http://users.each:8000", "")
    one = shown(watched)
    assert (one["state"], one["replicas"], one["of"], one["engine"]) == ("up", 3, 3, "SQLite")
    assert one["memory_mb"] > 3 * 20
    assert replicas[0].process is not None
    for process in replicas:
        assert requests.get(f"{process.url}/users", timeout=5).ok
    assert shown(watched)["rate"] > 0
    replicas[0].signal(signal.SIGSTOP)
    try:
        one = shown(watched)
        assert (one["state"], one["replicas"], one["of"], one["restarted"]) == ("up", 2, 3, None)
    finally:
        replicas[0].signal(signal.SIGCONT)
    wait_until(lambda: shown(watched)["replicas"] == 3, what="the replica that stood still")
    assert watched.as_json()["restarted"] is None
    replicas[2].kill()
    wait_until(lambda: shown(watched)["replicas"] == 2, what="the replica that was killed")
    assert watched.as_json()["restarted"] is None
    replicas[2].start()
    wait_until(lambda: shown(watched)["replicas"] == 3, what="the replica that was started again")
    assert watched.as_json()["restarted"] is not None
    replicas[0].process.terminate()
    wait_until(lambda: shown(watched)["replicas"] == 2, what="the replica that drains")
    assert (shown(watched)["state"], shown(watched)["of"]) == ("up", 3)
    named[1:] = []
    wait_until(lambda: shown(watched)["state"] == "draining", what="the only one left, which drains")
    one = watched.as_json()
    assert (one["replicas"], one["of"], one["engine"]) == (0, 1, "SQLite")
    named[:] = [process.port for process in replicas[1:]]
    assert shown(watched)["replicas"] == 2
    named.pop()
    assert (shown(watched)["state"], shown(watched)["of"]) == ("up", 1)
    named.clear()
    assert shown(watched)["state"] == "down"
    watched.forget()
