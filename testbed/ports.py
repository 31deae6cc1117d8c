"""Ports for servers under test."""

import socket
from collections import deque

HELD = 256  # ports that a process keeps for itself

_held: deque[socket.socket] = deque(maxlen=HELD)


def free_port() -> int:
    """Return a TCP port of loopback that nothing listens on, and keep it.

    A server that sets SO_REUSEADDR, as nearly all do, can listen on it at any time, also again after it was killed.
    Nothing else on this machine is given it, neither by another call nor for a connection, until this process has
    ended or has asked for many more. Two servers on one port would look like one that answers nonsense.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    _held.append(holder)
    port: int = holder.getsockname()[1]
    return port
