"""The composed system of a campaign on replicas, as `compose.postgres.yml` starts it."""

import json

from testbed.engine import Composed

from ..system import SERVICES, System, wait_until

REPLICAS = {"users": 2, "products": 2, "orders": 3}
FRONTS = [f"{name}-front" for name in SERVICES]
FILES = ("docker-compose.yml", "compose.postgres.yml", "chaos/replicas/compose.yml")
STARTED_S = 60.0
PSQL = ("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres")


class ReplicatedSystem(System):
    """A Compose project with replicas, front doors and a database."""

    replicated = True

    def __init__(self, extra: tuple[str, ...] = ()) -> None:
        Composed.__init__(self, "chaos", (*FILES, *extra), ACCESS_LOG="false")
        self.inside, self.wired = f"{self.project}_inside", False
        self.env["COMPOSE_PROJECT_NAME"] = self.project
        self.audited: dict[str, dict[int, str]] = {}
        self.supplied: dict[int, int] = {}

    def up(self) -> None:
        """Build and start everything."""
        self.compose("build", *SERVICES, *FRONTS, "database")
        self.compose("up", "-d", "--no-build", "--wait", "database", "chaos")
        self.scale()

    def scale(self, **replicas: int) -> None:
        """Start what does not run, with so many replicas."""
        scales = [word for name, number in (REPLICAS | replicas).items() for word in ("--scale", f"{name}={number}")]
        self.compose("up", "-d", "--no-build", "--no-recreate", *scales, *SERVICES, *FRONTS)
        for service in SERVICES:
            wait_until(lambda it=service: self.ready(it), STARTED_S, f"{service} ready")  # type: ignore[misc]

    def replicas(self, service: str) -> list[str]:
        """Return the names of the containers of a service that run, the oldest first."""
        listed = self.compose("ps", "--status", "running", "--format", "json", service).stdout
        return sorted(json.loads(line)["Name"] for line in listed.splitlines())

    def started(self, container: str) -> str:
        """Return when a container started last; empty while it does not run."""
        state = json.loads(self.docker("inspect", container))[0]["State"]
        return str(state["StartedAt"]) if state["Running"] else ""

    def is_paused(self, container: str) -> bool:
        """Tell whether the processes of a container stand still."""
        return bool(json.loads(self.docker("inspect", container))[0]["State"]["Paused"])

    def sql(self, database: str, text: str) -> list[str]:
        """Ask the database as its superuser. Return the rows, of one column each. Raises NotHappened."""
        return self.docker("exec", self.container("database"), *PSQL, "-d", database, "-c", text).splitlines()
