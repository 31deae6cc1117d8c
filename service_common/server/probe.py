"""Exit 0 if the service in this container is ready: the health check, without curl and in few milliseconds.

It runs as `python -I -S service_common/server/probe.py`, so it imports nothing but what starts fast.
"""

import os
import socket
import sys

TIMEOUT_S = 3


def status(port: int) -> bytes:
    """The status code with which the service on loopback answers `/readyz`."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.sendall(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n")
        return connection.makefile("rb").readline().split(b" ")[1]


if __name__ == "__main__":
    sys.exit(status(int(os.environ.get("PORT", "8000"))) != b"200")
