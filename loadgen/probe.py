"""Exit 0 if the page in this container answers: the health check. A run without a page is healthy while it runs.

It runs as `python -I -S loadgen/probe.py`, so it imports only modules that load fast.
"""

import os
import socket
import sys

TIMEOUT_S = 3
PAGELESS = {b"--headless", b"--worker"}


def has_page(command: bytes) -> bool:
    """Return True if the container's first process has a page; `command` is its /proc/PID/cmdline."""
    pageless = os.environ.get("LOCUST_HEADLESS") or os.environ.get("LOCUST_MODE_WORKER")
    return not pageless and not PAGELESS & set(command.split(b"\0"))


def answers(port: int) -> bool:
    """Return True if there is any HTTP answer on loopback, even one that asks for a token."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.sendall(b"GET /page/dashboard.css HTTP/1.0\r\nHost: localhost\r\n\r\n")
        return connection.recv(5) == b"HTTP/"


if __name__ == "__main__":
    with open("/proc/1/cmdline", "rb") as file:
        wants_page = has_page(file.read())
    sys.exit(wants_page and not answers(int(os.environ.get("LOCUST_WEB_PORT", "8089"))))
