"""From `docker compose up` with images built to all healthy."""

import json
import os
import re
import subprocess
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from ..contenders import SERVICES, free_port
from ..sampling import Progress, Settings
from ..wrk import Failed
from . import Part

ROOT = Path(__file__).parents[2]
IMAGES = (*SERVICES, "loadgen")
COMMAND_S = 900.0  # for one command; the first builds images
HEALTHY_S = 60.0
BUILD_S, START_S = 90.0, 10.0  # to plan by


class Compose:
    """The project's own Compose file, under a project name and on ports of its own."""

    def __init__(self) -> None:
        self.project = f"threefold-bench-{os.getpid()}"
        self.env = os.environ | {f"{name.upper()}_PORT": str(free_port()) for name in IMAGES}

    def __call__(self, *arguments: str) -> str:
        """One Compose command. Raises Failed."""
        return self.docker("compose", "-p", self.project, *arguments)

    def docker(self, *arguments: str) -> str:
        """One engine command. Raises Failed."""
        command = ["docker", *arguments]
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=COMMAND_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"{' '.join(command)}: not done after {COMMAND_S:g} s") from None
        if done.returncode:
            raise Failed(f"{' '.join(command)}: {done.stderr.strip()[-500:]}")
        return done.stdout

    def healthy_at(self, service: str) -> float:
        """When the engine's first good health check of a service ended, in seconds since 1970. Raises Failed."""
        deadline = time.monotonic() + HEALTHY_S
        while time.monotonic() < deadline:
            state = json.loads(self.docker("inspect", f"{self.project}-{service}-1"))[0]["State"]
            for check in state["Health"]["Log"] or ():
                if check["ExitCode"] == 0:
                    return seconds_of(check["End"])
            time.sleep(0.1)
        raise Failed(f"{service} was not healthy within {HEALTHY_S:g} s")

    def clean_up(self, progress: Progress) -> None:
        """Remove everything that was made; what cannot be removed is said, and no reason to lose what was measured."""
        for command in (
            ("compose", "-p", self.project, "down", "-v", "--remove-orphans", "--timeout", "1"),
            ("image", "rm", *(f"{self.project}-{name}" for name in IMAGES)),
        ):
            try:
                self.docker(*command)
            except Failed as error:
                progress.note(f"left behind: {error}")

    def version(self) -> str:
        """That of the engine."""
        return self.docker("version", "--format", "{{.Server.Version}}").strip()

    def bytes_of(self, image: str) -> int:
        return int(json.loads(self.docker("image", "inspect", image))[0]["Size"])


def seconds_of(stamp: str) -> float:
    """A time as the engine writes it, to the nanosecond and with Z or an offset, in seconds since 1970."""
    whole, fraction, zone = re.fullmatch(r"(.*?)(\.\d+)?(Z|[+-]\d\d:\d\d)", stamp).groups()  # type: ignore[union-attr]
    return datetime.fromisoformat(whole + zone.replace("Z", "+00:00")).timestamp() + float(fraction or 0)


def run(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Seconds from the command until each service was healthy, and until the command returned, in each round."""
    compose = Compose()
    healthy: dict[str, list[float]] = {name: [] for name in SERVICES}
    returned: list[float] = []
    try:
        compose("build")
        progress.did(BUILD_S, "images are built")
        for number in range(settings.rounds):
            began = time.time()
            compose("up", "-d", "--no-build")
            returned.append(time.time() - began)
            for name in SERVICES:
                healthy[name].append(compose.healthy_at(name) - began)
            compose("down", "-v", "--timeout", "1")
            last = max(times[-1] for times in healthy.values())
            progress.did(START_S, f"round {number + 1}  all healthy after {last:.2f} s")
    finally:
        compose.clean_up(progress)
    return {"healthy_s": healthy, "up_returned_s": returned, "engine": compose.version()}


def planned(settings: Settings) -> float:
    return BUILD_S + settings.rounds * START_S


PART = Part("start", "from `docker compose up` to all healthy", run, planned, ("docker",))
