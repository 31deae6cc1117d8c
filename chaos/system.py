"""The composed system of a campaign, under a project name and on ports of its own."""

import json
import socket
from collections.abc import Callable
from typing import Any

import testbed
from loadgen.settings import SERVICES
from testbed import ROOT, free_port
from testbed.engine import Composed
from testbed.waiting import TimedOut

__all__ = ["ROOT", "SERVICES", "NotHappened", "System", "wait_until"]

KEPT_BACK_S = 15.0  # within which the proxy has delivered what it keeps back, a few seconds long
CONTAINER_RSS = (
    "import glob,re;print(sum(int(m[1]) for p in glob.glob('/proc/[0-9]*/status')"
    " for m in re.finditer(r'RssAnon:\\s+(\\d+)', open(p).read())))"
)


class NotHappened(Exception):
    """A fault, or something that it needs, did not demonstrably happen: there is no verdict."""


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Poll `condition` until it returns something true, and return that. Raises NotHappened."""
    try:
        return testbed.wait_until(condition, seconds, what)
    except TimedOut as late:
        raise NotHappened(str(late)) from None


class System(Composed):
    """A Compose project with the campaign's container in it. In a `wired` one, all traffic goes through the proxy."""

    error = NotHappened
    replicated = False
    users = 64  # virtual users of the load

    def __init__(self, wired: bool = False, extra: tuple[str, ...] = ()) -> None:
        """`extra`: further Compose files, for example for a service that is broken on purpose."""
        super().__init__("chaos", ("docker-compose.yml", "chaos/containers/compose.yml", *extra), ACCESS_LOG="false")
        self.inside, self.front = f"{self.project}_inside", f"{self.project}_front"  # its networks
        self.wired = wired
        self.fronts = {name: free_port() for name in SERVICES}
        self.control = free_port()
        self.env |= {f"CHAOS_FRONT_{name.upper()}": str(port) for name, port in self.fronts.items()}
        self.env["CHAOS_PORT"] = str(self.control)
        if wired:
            self.env |= {
                "CHAOS_PRELOAD": "/chaos/libfaketime.so.1",
                "CHAOS_USERS_URL": "http://chaos:7011",
                "CHAOS_PRODUCTS_URL": "http://chaos:7012",
            }
        self.audited: dict[str, dict[int, str]] = {}  # each file's rows as the last audit found them
        self.supplied: dict[int, int] = {}  # units of each limited product, by all loads so far

    def started_at(self, service: str) -> str:
        """Return when its container started last; empty while it does not run."""
        state = self.inspect(service)["State"]
        return str(state["StartedAt"]) if state["Running"] else ""

    def address(self, service: str) -> str:
        """Return its address in the network of the services; empty where it is not in it."""
        return self.address_of(self.container(service))

    def address_of(self, container: str) -> str:
        """Return the address of any container in that network."""
        networks = json.loads(self.docker("inspect", container))[0]["NetworkSettings"]["Networks"]
        return str(networks.get(self.inside, {}).get("IPAddress", ""))

    def up(self) -> None:
        """Build and start everything."""
        self.compose("build", *SERVICES, "chaos")
        self.compose("up", "-d", "--no-build", "--wait", "chaos", *SERVICES)

    def down(self) -> None:
        """Remove everything that was made."""
        self.compose("down", "-v", "--rmi", "local", "--remove-orphans", "--timeout", "1")

    def load_env(self) -> dict[str, str]:
        """Return the environment that tells the load generator where the services are."""
        ports = self.fronts if self.wired else self.ports
        return {f"{name.upper()}_URL": f"http://127.0.0.1:{ports[name]}" for name in SERVICES}

    def headers(self) -> dict[str, str]:
        """Return the headers that every request needs."""
        return {}

    def await_whole(self) -> None:
        """Wait until nothing is missing that the next fault needs. Raises NotHappened."""

    def proxy(self, gate: str, mode: str) -> int:
        """Set a gate of the proxy to a mode (`?` leaves it). Return how many answers the gate has spoiled so far.

        Returns from `pass` when the proxy has delivered all requests that it had kept back.
        """
        with socket.create_connection(("127.0.0.1", self.control), timeout=KEPT_BACK_S) as connection:
            connection.sendall(f"{gate} {mode}\n".encode())
            return int(connection.makefile().readline())

    def in_chaos(self, command: str) -> str:
        """Run a shell command in the campaign's own container and return what it printed. Raises NotHappened."""
        return self.docker("exec", self.container("chaos"), "sh", "-c", command)

    def memory_mb(self, service: str) -> float:
        """Return the anonymous memory of all processes of a container."""
        return int(self.docker("exec", self.container(service), "python", "-I", "-S", "-c", CONTAINER_RSS)) / 1024
