"""The composed system on a real engine, under a name and on ports of the test run's own."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import requests

from ..fleet import SERVICES, free_port

ROOT = Path(__file__).parents[2]
BUILD_S = 600


class Composed:
    """A Compose project of this test run's own: its name, ports, network and volumes."""

    def __init__(self, **env: str) -> None:
        self.project = f"threefold-test-{os.getpid()}"
        self.ports = {name: free_port() for name in (*SERVICES, "loadgen")}
        self.env = os.environ | {f"{name.upper()}_PORT": str(port) for name, port in self.ports.items()}
        self.env |= env

    def compose(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["docker", "compose", "-p", self.project, *arguments],
            cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=BUILD_S,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"docker compose {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
        return done

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}"

    def post(self, service: str, body: dict[str, Any], **options: Any) -> requests.Response:
        return requests.post(f"{self.url(service)}/{service}", json=body, timeout=10, **options)

    def ready(self, service: str) -> bool:
        try:
            return requests.get(f"{self.url(service)}/readyz", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def inspect(self, service: str) -> dict[str, Any]:
        container = self.compose("ps", "-aq", service).stdout.strip()
        inspected: dict[str, Any] = json.loads(docker("inspect", container))[0]
        return inspected


def docker(*arguments: str) -> str:
    """What an engine command prints; fails loudly."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=BUILD_S)
    assert done.returncode == 0, f"docker {' '.join(arguments)}:\n{done.stderr}"
    return done.stdout


def engine_runs() -> bool:
    """Whether there are an engine and Compose."""
    try:
        return subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0 and (
            subprocess.run(["docker", "info"], capture_output=True).returncode == 0
        )
    except FileNotFoundError:
        return False
