"""The composed system on a real engine, under a name and on ports of its own."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import requests

from .ports import free_port
from .services import ROOT, read_ports

BUILD_S = 900.0  # seconds for one command; the first one builds images


class CommandFailed(AssertionError):
    """A command of the engine failed; the message quotes what it printed."""


class Composed:
    """A Compose project: its name, ports, networks and volumes are of this run alone."""

    error: type[Exception] = CommandFailed  # raised where a command fails; a subclass may have one of its own

    def __init__(self, kind: str = "test", files: tuple[str, ...] = (), root: Path = ROOT, **env: str) -> None:
        """`files`: in place of docker-compose.yml. `root`: the checkout. `env` is added to the environment."""
        self.project = f"threefold-{kind}-{os.getpid()}"
        self.files = files
        self.root = root
        self.ports = {name: free_port() for name in (*read_ports(root), "loadgen")}
        self.env = os.environ | {f"{name.upper()}_PORT": str(port) for name, port in self.ports.items()} | env

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in this project's environment. Raises `error`: it failed, and `check`, or took too long."""
        words = " ".join(command)
        try:
            done = subprocess.run(command, cwd=self.root, env=self.env, capture_output=True, text=True, timeout=BUILD_S)
        except FileNotFoundError:
            raise self.error("no docker command: install and start a Docker engine with Compose") from None
        except subprocess.TimeoutExpired:
            raise self.error(f"{words}: not done after {BUILD_S:g} s") from None
        if check and done.returncode:
            raise self.error(f"{words}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done

    def compose(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a Compose command for this project. Raises `error`."""
        files = [word for file in self.files for word in ("-f", file)]
        return self.run("docker", "compose", "-p", self.project, *files, *arguments, check=check)

    def docker(self, *arguments: str) -> str:
        """Run an engine command and return what it printed. Raises `error`."""
        return self.run("docker", *arguments).stdout

    def url(self, service: str) -> str:
        """Return where this machine reaches a service."""
        return f"http://127.0.0.1:{self.ports[service]}"

    def post(self, service: str, body: dict[str, Any], **options: Any) -> requests.Response:
        """Create an item."""
        return requests.post(f"{self.url(service)}/{service}", json=body, timeout=10, **options)

    def ready(self, service: str) -> bool:
        """Return True when /readyz of a service answers 200."""
        try:
            return requests.get(f"{self.url(service)}/readyz", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def container(self, service: str) -> str:
        """Return the name of a service's container."""
        return f"{self.project}-{service}-1"

    def inspect(self, service: str) -> dict[str, Any]:
        """Return what the engine knows of a service's container. Raises `error`."""
        inspected: dict[str, Any] = json.loads(self.docker("inspect", self.container(service)))[0]
        return inspected


def docker(*arguments: str) -> str:
    """Run an engine command and return what it printed. Raises CommandFailed."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=BUILD_S)
    if done.returncode:
        raise CommandFailed(f"docker {' '.join(arguments)}:\n{done.stderr}")
    return done.stdout


def engine_runs() -> bool:
    """Return True where an engine and Compose can be used."""
    try:
        return all(
            subprocess.run(["docker", *words], capture_output=True).returncode == 0
            for words in (("compose", "version"), ("info",))
        )
    except FileNotFoundError:
        return False
