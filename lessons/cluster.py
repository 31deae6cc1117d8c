"""PostgreSQL for the lessons that need it: a server, perhaps with a synchronous standby."""

from pathlib import Path

from testbed import Fleet, Process, databases
from testbed.postgres import ROLE, PostgresServer

STANDBY = "second"


class Cluster:
    """The databases of all services, on one server."""

    def __init__(self, standby: bool) -> None:
        self.primary = PostgresServer().start()
        self.standby: PostgresServer | None = None
        databases.use_server(self.primary)
        if standby:
            self.standby = PostgresServer(source=self.primary, standby=STANDBY).start()
            self.primary.require_standby(STANDBY)

    def lead_to_both(self, fleet: Fleet, directory: Path) -> None:
        """Give each service a URL with both servers, so that it follows the one that leads."""
        assert self.standby is not None
        for name, process in fleet.by_name.items():
            one = databases.environment(directory, name)["DATABASE_URL"]
            hosts = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}"
            process.env["DATABASE_URL"] = f"postgresql://{ROLE}@{hosts}/{one.rpartition('/')[2]}"

    def fail_over(self, process: Process) -> None:
        """Lose the standby, cancel a service's waits for it, then lose the primary too, and let the standby lead."""
        assert self.standby is not None
        self.standby.kill()
        self.primary.cancel_waits(databases.name_of(process))
        self.primary.kill()
        self.standby.start()
        self.standby.require_standby("")
        self.standby.promote()

    def remove(self) -> None:
        """Stop it and delete it."""
        databases.use_server(None)
        for server in (self.standby, self.primary):
            if server is not None:
                server.remove()
