"""All services together, as real processes on free ports of loopback."""

from pathlib import Path

from .process import Process, stop_all
from .services import ROOT, read_ports
from .waiting import wait_until


class Fleet:
    """All services, each with a database in `directory`. `apps` names another application for a service."""

    def __init__(
        self,
        directory: Path,
        apps: dict[str, str] | None = None,
        env: dict[str, str] | None = None,
        root: Path = ROOT,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        named = {name: f"{name}_service.app:create_app()" for name in read_ports(root)} | (apps or {})
        self.by_name = {name: Process(name, app, directory, dict(env or {}), root) for name, app in named.items()}
        self.users, self.products, self.orders = (self.by_name[name] for name in ("users", "products", "orders"))
        self.all = tuple(self.by_name.values())
        self.orders.env |= {name: url for name, url in self.urls().items() if name in ("USERS_URL", "PRODUCTS_URL")}

    def start(self) -> "Fleet":
        """Start all services, and return when all are ready."""
        for process in self.all:
            process.start(wait=False)
        for process in self.all:
            wait_until(process.ready, what=f"{process.service} ready")
        return self

    def stop(self) -> None:
        """Stop all services that run."""
        stop_all(self.all)

    def urls(self) -> dict[str, str]:
        """Return the environment that tells a client where the services are: USERS_URL, PRODUCTS_URL, …"""
        return {f"{name.upper()}_URL": process.url for name, process in self.by_name.items()}
