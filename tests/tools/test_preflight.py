"""Where services listen without containers: their URLs follow, and a port that cannot be used is named before a start."""

import socket

import pytest

from testbed.ports import free_port
from tools.preflight import PORTS, SERVICES, complaint, urls


@pytest.fixture
def free() -> dict[str, str]:
    """A free port for each service."""
    return {name: str(free_port()) for name in PORTS}


def test_accepts_free_ports(free: dict[str, str]) -> None:
    assert complaint(free) == ""


@pytest.mark.parametrize("port", ["x", "0", "65536", "-1", "8001.5", "٣"])
@pytest.mark.parametrize("name", ["ORDERS_PORT", "LOADGEN_PORT"])
def test_names_a_setting_that_is_no_port(free: dict[str, str], name: str, port: str) -> None:
    assert complaint(free | {name: port}) == f"{name}={port} is not a port: set it to a number from 1 to 65535."


@pytest.mark.parametrize(
    ("set_to", "words"),
    [
        ({"USERS_PORT": "8003"}, "USERS_PORT and ORDERS_PORT are both 8003: set one of them to another port."),
        ({"PRODUCTS_PORT": "08001"}, "USERS_PORT and PRODUCTS_PORT are both 8001: set one of them to another port."),
        ({"LOADGEN_PORT": "8002"}, "PRODUCTS_PORT and LOADGEN_PORT are both 8002: set one of them to another port."),
        ({"ORDERS_PORT": "8089"}, "ORDERS_PORT and LOADGEN_PORT are both 8089: set one of them to another port."),
    ],
)
def test_refuses_two_equal_ports_by_name(set_to: dict[str, str], words: str) -> None:
    assert complaint(set_to) == words


def test_looks_for_a_taken_port_at_the_address_where_the_service_will_listen(free: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.2", 0)) as listener:
        port = str(listener.getsockname()[1])
        assert complaint(free | {"USERS_PORT": port}) == ""  # at 127.0.0.1 it is free
        found = complaint(free | {"USERS_PORT": port, "BIND_ADDRESS": "127.0.0.2"})
        assert (
            found == f"Port {port} cannot be used (Address already in use): stop what listens there, or set USERS_PORT."
        )


@pytest.mark.parametrize("address", ["203.0.113.9", "no.such.host.invalid", "2001:db8::9"])
def test_refuses_an_address_that_this_machine_has_not(free: dict[str, str], address: str) -> None:
    assert complaint(free | {"BIND_ADDRESS": address}).startswith(f"BIND_ADDRESS={address} is not an address of this")


@pytest.mark.parametrize(
    ("environ", "base"),
    [
        ({}, "http://127.0.0.1"),
        ({"BIND_ADDRESS": "127.0.0.2"}, "http://127.0.0.2"),
        ({"BIND_ADDRESS": "::1"}, "http://[::1]"),
        ({"BIND_ADDRESS": "[::1]"}, "http://[::1]"),
        ({"BIND_ADDRESS": "0.0.0.0"}, "http://127.0.0.1"),
        ({"BIND_ADDRESS": "::"}, "http://[::1]"),
        ({"BIND_ADDRESS": "127.0.0.2", "LISTEN_ADDRESS": "127.0.0.3"}, "http://127.0.0.3"),
    ],
)
def test_urls_follow_the_address(environ: dict[str, str], base: str) -> None:
    assert urls(environ) == {f"{name.upper()}_URL": f"{base}:{port}" for name, port in SERVICES.items()}


def test_urls_follow_the_ports_and_one_that_is_set_stays() -> None:
    found = urls({"USERS_PORT": "9001", "PRODUCTS_URL": "http://proxy:80", "ORDERS_URL": ""})
    assert found["USERS_URL"] == "http://127.0.0.1:9001"
    assert found["PRODUCTS_URL"] == "http://proxy:80"
    assert found["ORDERS_URL"] == "http://127.0.0.1:8003"
