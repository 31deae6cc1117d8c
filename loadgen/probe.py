"""Exit 0 if the page in this container answers: the health check. A run without a page is well while it runs.

It runs as `python -I -S loadgen/probe.py`, so it imports nothing but what starts fast.
"""

import os
import socket
import sys

TIMEOUT_S = 3
PAGELESS = {b"--headless", b"--worker"}


def has_page(command: bytes) -> bool:
    """Whether the container's first process, given its words, each with a NUL at its end, was told to have a page."""
    told = os.environ.get("LOCUST_HEADLESS") or os.environ.get("LOCUST_MODE_WORKER")
    return not told and not PAGELESS & set(command.split(b"\0"))


def answers(port: int) -> bool:
    """Whether anything is answered over HTTP on loopback, be it that a token is missing."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.sendall(b"GET /audit/tab.js HTTP/1.0\r\nHost: localhost\r\n\r\n")
        return connection.recv(5) == b"HTTP/"


if __name__ == "__main__":
    with open("/proc/1/cmdline", "rb") as file:
        paged = has_page(file.read())
    sys.exit(paged and not answers(int(os.environ.get("LOCUST_WEB_PORT", "8089"))))
