"""A network between two services that loses answers, and delivers requests late or twice."""

import random
import socket
import threading
import time
from collections import Counter
from contextlib import suppress

RATE = 0.04  # of each fault
LATE_S = (0.5, 3.0)  # seconds; longer than the sender waits


class Network:
    """A port that leads to another one. Each piece that a client sends is a request, each that comes back an answer."""

    def __init__(self, target: int, seed: int) -> None:
        self.faults: Counter[str] = Counter()
        self.sound = False  # from here on nothing is lost, late or repeated
        self._target = target
        self._random = random.Random(seed)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _has(self, fault: str) -> bool:
        if self.sound or self._random.random() >= RATE:
            return False
        self.faults[fault] += 1
        return True

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self._target), 5) as server:
            while request := client.recv(1 << 20):
                if self._has("late"):
                    time.sleep(self._random.uniform(*LATE_S))
                if self._has("twice"):
                    threading.Thread(target=self._send_again, args=(request,), daemon=True).start()
                server.sendall(request)
                answer = server.recv(1 << 20)
                if not answer or self._has("answer lost"):
                    return
                client.sendall(answer)

    def _send_again(self, request: bytes) -> None:
        time.sleep(self._random.uniform(0, LATE_S[1]))
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._target), 5) as server:
            server.sendall(request)
            server.recv(1 << 20)

    def close(self) -> None:
        self._server.close()
