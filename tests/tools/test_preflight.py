"""Before the services start without containers: what is said of their ports."""

import socket

import pytest

from tools import preflight


@pytest.fixture(autouse=True)
def others_free(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in preflight.PORTS:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            monkeypatch.setenv(name, str(listener.getsockname()[1]))


def test_free_ports_are_no_reason_to_complain() -> None:
    assert preflight.complaint() == ""


@pytest.mark.parametrize("port", ["x", "0", "65536", "-1", "8001.5", "٣"])
def test_what_is_no_port_is_named(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("ORDERS_PORT", port)
    assert preflight.complaint() == f"ORDERS_PORT={port} is not a port: set it to a number from 1 to 65535."


def test_a_port_is_taken_at_the_address_where_the_service_will_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.2", 0)) as listener:
        port = str(listener.getsockname()[1])
        monkeypatch.setenv("USERS_PORT", port)
        assert preflight.complaint() == ""  # nobody listens there at 127.0.0.1
        monkeypatch.setattr(preflight, "HOST", "127.0.0.2")
        assert preflight.complaint().startswith(f"Port {port} cannot be used (Address already in use): stop what")
        assert preflight.complaint().endswith("or set USERS_PORT.")
