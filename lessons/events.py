"""What happens to the services during a lesson, besides the load."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import requests

from testbed import ROOT, Fleet, Process

from .cluster import Cluster

PAGE = 1000  # rows that the follower asks for at once


@dataclass(frozen=True)
class Event:
    """Something that happens to a service when so many writes have been acknowledged."""

    after: int
    does: Literal["kill", "pause", "fail over"]
    service: str = ""
    seconds: float = 0.0  # of a pause

    def said(self, is_power_cut: bool) -> str:
        """Return it in words; a kill may stand for a power cut."""
        does = {
            "kill": "the power of {} goes" if is_power_cut else "{} is killed with kill -9",
            "pause": f"{{}} hangs for {self.seconds:g} s",
            "fail over": "the standby is lost, waits for it are cancelled, the primary is lost, the standby leads",
        }[self.does]
        return f"after {self.after:,} acknowledged writes, {does.format(self.service)}"

    def happen(self, fleet: Fleet, cluster: Cluster | None) -> None:
        """Do it, and return when the service works again."""
        process = fleet.by_name[self.service]
        if self.does == "fail over":
            assert cluster is not None
            cluster.fail_over(process)
            return
        if self.does == "kill":
            process.kill()
            process.start()
            return
        process.signal(signal.SIGSTOP)
        try:
            time.sleep(self.seconds)
        finally:
            process.signal(signal.SIGCONT)


class Witness:
    """A client beside the load, in a thread of its own, that counts what the load generator does not look at."""

    def __init__(self, fleet: Fleet, service: str) -> None:
        self._fleet = fleet
        self._service = service
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def counted(self) -> int:
        """Stop, and return how often it saw what must not be."""
        self._stop.set()
        self._thread.join()
        return self._count()

    def _run(self) -> None:
        while not self._stop.wait(0.002):
            with suppress(requests.RequestException):  # a service is away for a moment
                self._look()

    def _look(self) -> None:
        """Look once more."""
        raise NotImplementedError

    def _count(self) -> int:
        raise NotImplementedError


class Follower(Witness):
    """Reads all rows after the last one that it has seen, again and again, and counts those that it never saw."""

    def __init__(self, fleet: Fleet, service: str) -> None:
        self._seen: set[int] = set()
        super().__init__(fleet, service)

    def _look(self) -> None:
        self._seen |= set(self._rows(max(self._seen, default=0)))

    def _count(self) -> int:
        self._look()
        return len(set(self._rows(0)) - self._seen)

    def _rows(self, after: int) -> Iterator[int]:
        """Yield the ids of all rows after an id, page by page."""
        while True:
            url = f"{self._fleet.by_name[self._service].url}/{self._service}?limit={PAGE}&after={after}"
            ids = [row["id"] for row in requests.get(url, timeout=10).json()["items"]]
            yield from ids
            if len(ids) < PAGE:
                return
            after = ids[-1]


class Deleter(Witness):
    """Makes a user, orders for it, deletes it, orders for it again, and counts how often that was accepted."""

    def __init__(self, fleet: Fleet, service: str) -> None:
        self._accepted = 0
        super().__init__(fleet, service)

    def _look(self) -> None:
        users, orders = f"{self._fleet.users.url}/users", f"{self._fleet.orders.url}/orders"
        email = f"{time.monotonic_ns()}@example.com"
        user = requests.post(users, json={"name": "Ada", "email": email}, timeout=10).json()["id"]
        order = {"user_id": user, "product_id": 1, "quantity": 1}
        requests.post(orders, json=order, timeout=10)
        if requests.delete(f"{users}/{user}", timeout=10).status_code == 204:
            self._accepted += requests.post(orders, json=order, timeout=10).status_code == 201

    def _count(self) -> int:
        return self._accepted


def lose_power(process: Process) -> None:
    """Let the disk of a service that is started from here on forget all that is not synced, when it is killed."""
    app = process.app.partition(".")[0].removesuffix("_service")
    process.command = [*process.command[:-1], f"lessons.disk:create_app('{app}')"]
    process.env["PYTHONPATH"] = str(ROOT)  # for lessons.disk; all else comes from the directory that it runs in
