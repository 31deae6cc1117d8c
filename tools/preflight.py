"""The addresses of the services without containers, and a check of them before anything starts."""

import errno
import os
import socket
import tomllib
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
SERVICES: dict[str, int] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["threefold"]["ports"]
PAGE_PORT = {"LOADGEN_PORT": 8089}  # of the load generator's page, which Compose publishes
NOT_HERE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - every address, and one of them


def setting(name: str, kind: str = "PORT") -> str:
    """Return the name of a service's setting, such as USERS_PORT."""
    return f"{name.upper()}_{kind}"


PORTS = {setting(name): port for name, port in SERVICES.items()}


def host(environ: Mapping[str, str] = os.environ) -> str:
    """Return the address to listen at."""
    return (environ.get("LISTEN_ADDRESS") or environ.get("BIND_ADDRESS") or "127.0.0.1").strip("[]")


def urls(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the URL of each service by the name of its setting; a URL that is set stays as it is."""
    reached = EVERYWHERE.get(host(environ), host(environ))
    base = f"http://[{reached}]" if ":" in reached else f"http://{reached}"
    return {
        url: environ.get(url) or f"{base}:{environ.get(setting(name)) or port}"
        for name, port in SERVICES.items()
        for url in [setting(name, "URL")]
    }


def complaint(environ: Mapping[str, str] = os.environ) -> str:
    """Return one sentence about a port or address that cannot be used, and what to do; empty if all can."""
    taken: dict[int, str] = {}
    for name, default in (PORTS | PAGE_PORT).items():
        value = environ.get(name) or str(default)
        if not value.isascii() or not value.isdigit() or not 0 < int(value) < 65536:
            return f"{name}={value} is not a port: set it to a number from 1 to 65535."
        if int(value) in taken:
            return f"{taken[int(value)]} and {name} are both {int(value)}: set one of them to another port."
        taken[int(value)] = name
    for port, name in taken.items():
        if name in PORTS and (why := unusable(host(environ), port)):
            return why.format(name=name)
    return ""


def unusable(address: str, port: int) -> str:
    """Return the reason why nothing can listen there; empty if it can."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
        except OSError as error:
            if isinstance(error, socket.gaierror) or error.errno in NOT_HERE:
                return f"BIND_ADDRESS={address} is not an address of this machine ({error.strerror}): set another."
            return f"Port {port} cannot be used ({error.strerror}): stop what listens there, or set {{name}}."
    return ""
