"""The composed system under a project name and on ports of the campaign's own."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).parents[1]
SERVICES = ("users", "products", "orders")
COMMAND_S = 600.0  # for one engine command; the first builds images
CONTAINER_RSS = (
    "import glob,re;print(sum(int(m[1]) for p in glob.glob('/proc/[0-9]*/status')"
    " for m in re.finditer(r'RssAnon:\\s+(\\d+)', open(p).read())))"
)


class NotHappened(Exception):
    """A fault, or what it needs, did not demonstrably happen: there is no verdict."""


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Poll until `condition` gives something true, and give that. Raises NotHappened."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise NotHappened(f"{what}: not within {seconds:g} s")
        time.sleep(0.05)
    return result


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class System:
    """Engine commands, and what is asked of the services. `wired`: everybody talks through the proxy."""

    def __init__(self, wired: bool = False, extra: tuple[str, ...] = ()) -> None:
        """`extra`: further Compose files, as the tests of the campaign have for services that are broken."""
        self.project = f"threefold-chaos-{os.getpid()}"
        self.inside, self.front = f"{self.project}_inside", f"{self.project}_front"  # its networks
        self.wired = wired
        self.ports = {name: free_port() for name in (*SERVICES, "loadgen")}
        self.fronts = {name: free_port() for name in SERVICES}
        self.control = free_port()
        self.env = os.environ | {f"{name.upper()}_PORT": str(port) for name, port in self.ports.items()}
        self.env |= {f"CHAOS_FRONT_{name.upper()}": str(port) for name, port in self.fronts.items()}
        self.env |= {"CHAOS_PORT": str(self.control), "ACCESS_LOG": "false"}
        if wired:
            self.env |= {
                "CHAOS_PRELOAD": "/chaos/libfaketime.so.1",
                "CHAOS_USERS_URL": "http://chaos:7011",
                "CHAOS_PRODUCTS_URL": "http://chaos:7012",
            }
        self.audited: dict[str, dict[int, str]] = {}  # each file's rows as the last audit found them
        self.files = ("docker-compose.yml", "chaos/compose.yml", *extra)

    def compose(self, *arguments: str) -> str:
        """One Compose command. Raises NotHappened."""
        files = [word for file in self.files for word in ("-f", file)]
        return self._run("docker", "compose", "-p", self.project, *files, *arguments)

    def docker(self, *arguments: str) -> str:
        """One engine command. Raises NotHappened."""
        return self._run("docker", *arguments)

    def _run(self, *command: str) -> str:
        try:
            done = subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=COMMAND_S)
        except FileNotFoundError:
            raise NotHappened("no docker command: install and start a Docker engine with Compose") from None
        except subprocess.TimeoutExpired:
            raise NotHappened(f"{' '.join(command)}: not done after {COMMAND_S:g} s") from None
        if done.returncode:
            raise NotHappened(f"{' '.join(command)}: {done.stderr.strip()[-500:]}")
        return done.stdout

    def container(self, service: str) -> str:
        """The name of a service's container."""
        return f"{self.project}-{service}-1"

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine says of a container."""
        inspected: dict[str, Any] = json.loads(self.docker("inspect", self.container(service)))[0]
        return inspected

    def started_at(self, service: str) -> str:
        """When its container started last; empty while it does not run."""
        state = self.inspect(service)["State"]
        return str(state["StartedAt"]) if state["Running"] else ""

    def address(self, service: str) -> str:
        """Its address in the network of the services; empty where it is not in it."""
        return self.address_of(self.container(service))

    def address_of(self, container: str) -> str:
        """The same of any container."""
        networks = json.loads(self.docker("inspect", container))[0]["NetworkSettings"]["Networks"]
        return str(networks.get(self.inside, {}).get("IPAddress", ""))

    def up(self) -> None:
        """Build and start everything."""
        self.compose("build", *SERVICES, "chaos")
        self.compose("up", "-d", "--no-build", "--wait", "chaos", *SERVICES)

    def down(self) -> None:
        """Remove everything that was made."""
        self.compose("down", "-v", "--rmi", "local", "--remove-orphans", "--timeout", "1")

    def url(self, service: str) -> str:
        """Where a service itself is."""
        return f"http://127.0.0.1:{self.ports[service]}"

    def ready(self, service: str) -> bool:
        """Whether its /readyz answers 200."""
        try:
            return requests.get(f"{self.url(service)}/readyz", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def load_env(self) -> dict[str, str]:
        """The environment that tells the load generator where the services are."""
        ports = self.fronts if self.wired else self.ports
        return {f"{name.upper()}_URL": f"http://127.0.0.1:{port}" for name, port in ports.items()}

    def proxy(self, gate: str, mode: str) -> int:
        """Set a gate of the proxy to a mode (`?`: leave it); how many answers it has spoiled."""
        with socket.create_connection(("127.0.0.1", self.control), timeout=5) as connection:
            connection.sendall(f"{gate} {mode}\n".encode())
            return int(connection.makefile().readline())

    def in_chaos(self, command: str) -> str:
        """Run a shell command in the campaign's own container. Raises NotHappened."""
        return self.docker("exec", self.container("chaos"), "sh", "-c", command)

    def memory_mb(self, service: str) -> float:
        """Anonymous memory of all processes of a container."""
        return int(self.docker("exec", self.container(service), "python", "-I", "-S", "-c", CONTAINER_RSS)) / 1024
