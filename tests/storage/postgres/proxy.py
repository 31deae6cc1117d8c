"""A TCP proxy before a server, which fails in chosen ways."""

import socket
import threading
from contextlib import suppress
from typing import Literal

from testbed.ports import free_port

Mode = Literal["forward", "refuse", "lose answers", "lose requests", "hold"]


class Proxy:
    """Forwards connections to a port of loopback. Both directions run on threads of their own.

    `lose answers`: requests arrive, and the connection is cut when the server answers. `lose requests`: the connection
    is cut when the client sends. `hold`: nothing arrives, and nothing is cut.
    """

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.mode: Mode = "forward"
        self._target = target
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def lead_to(self, target: int) -> None:
        """Forward new connections to another port."""
        self._target, self.mode = target, "forward"

    def cut(self) -> None:
        """Cut all connections."""
        for pair in self._pairs:
            _cut(pair)
        self._pairs.clear()

    def close(self) -> None:
        """Cut all connections and accept no more."""
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.mode == "refuse":
                    client.close()
                    continue
                pair = client, socket.create_connection(("127.0.0.1", self._target))
                for each in pair:
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._pairs.append(pair)
                threading.Thread(target=self._forward, args=(pair, False), daemon=True).start()
                threading.Thread(target=self._forward, args=(pair, True), daemon=True).start()

    def _forward(self, pair: tuple[socket.socket, socket.socket], answers: bool) -> None:
        client, server = pair
        source, sink = (server, client) if answers else (client, server)
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if self.mode == "hold":
                    continue
                if self.mode == ("lose answers" if answers else "lose requests"):
                    break
                sink.sendall(data)
        _cut(pair)


def _cut(pair: tuple[socket.socket, socket.socket]) -> None:
    for each in pair:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
