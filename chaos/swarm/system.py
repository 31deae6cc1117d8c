"""The stack of `deploy/swarm` under a name and on ports of its own, on one node or on three."""

import json
import os
import secrets
import subprocess
import time
from typing import Any

import requests

from testbed import free_port
from testbed.engine import BUILD_S

from ..databases.files import Rows
from ..system import ROOT, SERVICES, NotHappened, System, wait_until
from .nodes import Nodes
from .planted import plant

SCRIPT = "deploy/swarm/swarm.sh"
DATABASES = ("pg1", "pg2", "pg3")
PSQL = ("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "/tmp")  # noqa: S108 - where its socket is
STREAMING = "SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming'"
ETCD = ("etcd1", "etcd2", "etcd3")
CAUGHT_UP_S = 60.0
UPDATE_S = 180.0
WHOLE_S = 120.0  # a standby that has been away may have to be copied anew
LEADS = "import urllib.request as u; u.urlopen('http://127.0.0.1:8008/primary', timeout=2)"
DELAY = "SELECT pg_wal_lsn_diff('{}', coalesce(pg_last_wal_replay_lsn(), '0/0')) <= 0"


class SwarmSystem(System):
    """A stack; its containers may be on several engines."""

    replicated = True
    users = 16  # the load shares the machine with 17 containers

    def __init__(self, nodes: Nodes | None = None, extra: tuple[str, ...] = ()) -> None:
        """`nodes`: engines that are nodes of one Swarm. Without them it is the machine's own engine, alone."""
        self.project = f"chaos{os.getpid()}"
        self.planted = extra
        self.nodes = nodes
        self.wired = False
        self.root = ROOT
        self.ports = {name: free_port() for name in SERVICES}
        self.token = secrets.token_hex(16)
        self.host = nodes.address if nodes else "127.0.0.1"
        self.audited: dict[str, Rows] = {}
        self.supplied: dict[int, int] = {}
        self.env = os.environ | {f"{name.upper()}_PORT": str(port) for name, port in self.ports.items()}
        self.env |= {"STACK": self.project, "API_TOKEN": self.token, "ACCESS_LOG": "false"}
        if nodes:
            self.env |= {"DOCKER_HOST": nodes.sockets[0], "BUILT": "yes"}

    def up(self) -> None:
        """Build and start everything."""
        if self.nodes:
            self.nodes.up()
        self.run("bash", SCRIPT, "up")
        wait_until(lambda: all(map(self.ready, SERVICES)), CAUGHT_UP_S, "all services ready")
        self.await_whole()
        for defect in self.planted:
            plant(defect, self)

    def down(self) -> None:
        """Remove everything that was made."""
        try:
            self.run("bash", SCRIPT, "down")
        finally:
            if self.nodes:
                self.nodes.down()

    def url(self, service: str) -> str:
        """Return where this machine reaches a service."""
        return f"http://{self.host}:{self.ports[service]}"

    def load_env(self) -> dict[str, str]:
        """Return the environment that tells the load generator where the services are."""
        return {f"{name.upper()}_URL": self.url(name) for name in SERVICES} | {"API_TOKEN": self.token}

    def headers(self) -> dict[str, str]:
        """Return what a client has to send."""
        return {"Authorization": f"Bearer {self.token}"}

    def ready(self, service: str) -> bool:
        """Return True when /readyz of a service answers 200."""
        try:
            return requests.get(f"{self.url(service)}/readyz", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def engine(self, host: str, *arguments: str, check: bool = True) -> str:
        """Run an engine command on one node and return what it printed. Raises NotHappened."""
        command = ["docker", *(("-H", host) if host else ()), *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=BUILD_S)
        if check and done.returncode:
            raise NotHappened(f"{' '.join(command)}: {done.stderr[-500:]}")
        return done.stdout

    def on_manager(self, *arguments: str) -> str:
        """Run an engine command on a manager that is reached."""
        return self.engine(self.nodes.sockets[0] if self.nodes else "", *arguments)

    def tasks(self, service: str) -> list[tuple[str, str]]:
        """Return the running containers of a service, each with its engine."""
        found = []
        for host in self.nodes.sockets if self.nodes else [""]:
            name = f"label=com.docker.swarm.service.name={self.project}_{service}"
            listed = self.engine(host, "ps", "-q", "--no-trunc", "--filter", name, "--filter", "status=running")
            found += [(host, container) for container in listed.split()]
        return found

    def task(self, service: str) -> tuple[str, str]:
        """Return the one running container of a service, with its engine. Raises NotHappened."""
        found = wait_until(lambda: self.tasks(service), CAUGHT_UP_S, f"a container of {service}")
        return found[0]  # type: ignore[no-any-return]

    def pid(self, task: tuple[str, str]) -> int:
        """Return the process id of a container's first process, on this machine."""
        return int(self.engine(task[0], "inspect", "-f", "{{.State.Pid}}", task[1]))

    def execute(self, task: tuple[str, str], *command: str, check: bool = True) -> str:
        """Run a command in a container."""
        return self.engine(task[0], "exec", task[1], *command, check=check)

    def leader(self) -> str:
        """Return the name of the database node that leads; empty where there is none now."""
        for name in DATABASES:
            for task in self.tasks(name):
                command = ["docker", *(("-H", task[0]) if task[0] else ()), "exec", task[1], "python3", "-c", LEADS]
                try:
                    if subprocess.run(command, capture_output=True, timeout=5).returncode == 0:
                        return name
                except subprocess.TimeoutExpired:  # it is frozen
                    continue
        return ""

    def primary(self) -> str:
        """Wait until a database node leads, and return its name. Raises NotHappened."""
        return str(wait_until(self.leader, CAUGHT_UP_S, "a database node that leads"))

    def standbys(self) -> list[str]:
        """Return the names of the other database nodes, the synchronous one first."""
        primary = self.primary()
        asked = "SELECT application_name FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')"
        synchronous = self.sql_on(primary, "postgres", asked)
        others = [name for name in DATABASES if name != primary]
        return sorted(others, key=lambda name: name not in synchronous)

    def patronictl(self, node: str, *arguments: str) -> str:
        """Run patronictl in a database node."""
        return self.execute(self.task(node), "sh", "/usr/local/bin/start.sh", "patronictl", *arguments)

    def sql_on(self, node: str, database: str, text: str) -> list[str]:
        """Ask a database node as its superuser. Return the rows, of one column each. Raises NotHappened."""
        return self.execute(self.task(node), *PSQL, "-d", database, "-c", text).splitlines()

    def sql(self, database: str, text: str) -> list[str]:
        """Ask the primary."""
        return self.sql_on(self.primary(), database, text)

    def await_standbys(self) -> None:
        """Wait until each standby has replayed what the primary has now. Raises NotHappened."""
        (position,) = self.sql("postgres", "SELECT pg_current_wal_flush_lsn()")
        for name in self.standbys():
            wait_until(lambda it=name: self._has(it, position), CAUGHT_UP_S, f"{name} has everything")  # type: ignore[misc]

    def _has(self, node: str, position: str) -> bool:
        try:
            return self.sql_on(node, "postgres", DELAY.format(position)) == ["t"]
        except NotHappened:  # it starts
            time.sleep(0.5)
            return False

    def await_whole(self) -> None:
        """Wait until both standbys follow the primary, and all tasks run. Raises NotHappened."""
        wait_until(self.whole, WHOLE_S, "both standbys that follow the primary")
        for service in (*DATABASES, *ETCD):
            wait_until(lambda it=service: self.tasks(it), CAUGHT_UP_S, f"a container of {service}")  # type: ignore[misc]

    def whole(self) -> bool:
        """Tell whether there is a primary, and both standbys stream from it, one of them synchronously."""
        try:
            name = self.leader()
            states = self.sql_on(name, "postgres", STREAMING) if name else []
            return len(states) == 2 and ("sync" in states or bool(self.planted))
        except NotHappened:
            return False

    def service(self, service: str) -> dict[str, Any]:
        """Return what Swarm knows of a service."""
        inspected: dict[str, Any] = json.loads(self.on_manager("service", "inspect", f"{self.project}_{service}"))[0]
        return inspected

    def update(self, service: str, *arguments: str) -> None:
        """Update a service, and wait until all its replicas are replaced. Raises NotHappened."""
        before = self.service(service).get("UpdateStatus", {}).get("StartedAt")
        self.on_manager("service", "update", "-d", *arguments, f"{self.project}_{service}")

        def done() -> bool:
            status = self.service(service).get("UpdateStatus", {})
            if status.get("State", "").startswith(("rollback", "paused")):
                raise NotHappened(f"the update of {service} was rolled back")
            return bool(status.get("State") == "completed" and status["StartedAt"] != before)

        wait_until(done, UPDATE_S, f"{service} updated")

    def memory_mb(self, service: str) -> float:
        """Return the memory of all containers of a service, as their engines count it."""
        total = 0.0
        for host, container in self.tasks(service):
            used = (
                self.engine(host, "stats", "--no-stream", "--format", "{{.MemUsage}}", container).split("/")[0].strip()
            )
            number = float("".join(each for each in used if each in "0123456789."))
            total += number * {"G": 1024, "M": 1, "K": 1 / 1024}.get(used.strip("0123456789. ")[0], 1e-6)
        return total


class Node:
    """One database node, as `read_tables` asks a system."""

    def __init__(self, system: SwarmSystem, name: str) -> None:
        self._system, self._name = system, name

    def sql(self, database: str, text: str) -> list[str]:
        """Ask it as its superuser. Raises NotHappened."""
        return self._system.sql_on(self._name, database, text)
