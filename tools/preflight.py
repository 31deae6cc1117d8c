"""Before services start without containers: are their ports free? Says in one line what to do if not."""

import os
import socket
import sys

HOST = (os.environ.get("LISTEN_ADDRESS") or os.environ.get("BIND_ADDRESS") or "127.0.0.1").strip("[]")
PORTS = {"USERS_PORT": "8001", "PRODUCTS_PORT": "8002", "ORDERS_PORT": "8003"}


def complaint() -> str:
    """What stands in the way; empty if nothing does."""
    for name, default in PORTS.items():
        value = os.environ.get(name) or default
        if not value.isascii() or not value.isdigit() or not 0 < int(value) < 65536:
            return f"{name}={value} is not a port: set it to a number from 1 to 65535."
        with socket.socket(socket.AF_INET6 if ":" in HOST else socket.AF_INET) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((HOST, int(value)))
            except OSError as error:
                return f"Port {value} cannot be used ({error.strerror}): stop what listens there, or set {name}."
    return ""


if __name__ == "__main__":
    sys.exit(complaint() or None)
