"""Parts that need an engine: from `docker compose up` to all healthy, and the size of the images."""

import json
import re
import time
from datetime import datetime
from typing import Any

from testbed import ROOT, wait_until
from testbed.engine import Composed
from testbed.waiting import TimedOut

from ...contenders import SERVICES
from ...sampling import Progress, Settings
from ...tools.wrk import Failed
from .. import Part

IMAGES = (*SERVICES, "loadgen")
HEALTHY_S = 60.0
BUILD_S, START_S = 90.0, 10.0  # expected, for the plan


class Project(Composed):
    """A Compose project of the benchmark."""

    error = Failed

    def __init__(self) -> None:
        super().__init__("bench")

    def healthy_at(self, service: str) -> float:
        """Return when the first good health check of a service ended, in seconds since 1970. Raises Failed."""

        def first_good() -> float | None:
            checks = self.inspect(service)["State"]["Health"]["Log"] or ()
            return next((seconds_of(check["End"]) for check in checks if check["ExitCode"] == 0), None)

        try:
            ended: float = wait_until(first_good, HEALTHY_S, f"{service} healthy")
        except TimedOut as late:
            raise Failed(str(late)) from None
        return ended

    def clean_up(self, progress: Progress) -> None:
        """Remove everything that was made. A failure to do so is reported, and costs no figures."""
        images = [f"{self.project}-{name}" for name in IMAGES]
        for done in (
            self.compose("down", "-v", "--remove-orphans", "--timeout", "1", check=False),
            self.run("docker", "image", "rm", *images, check=False),
        ):
            if done.returncode:
                progress.note(f"left behind: {done.stderr.strip()[-500:]}")

    def version(self) -> str:
        """Return the version of the engine."""
        return self.docker("version", "--format", "{{.Server.Version}}").strip()

    def bytes_of(self, image: str) -> int:
        """Return the size of an image."""
        return int(json.loads(self.docker("image", "inspect", image))[0]["Size"])


def seconds_of(stamp: str) -> float:
    """Return a time as the engine writes it, to the nanosecond and with Z or an offset, in seconds since 1970."""
    whole, fraction, zone = re.fullmatch(r"(.*?)(\.\d+)?(Z|[+-]\d\d:\d\d)", stamp).groups()  # type: ignore[union-attr]
    return datetime.fromisoformat(whole + zone.replace("Z", "+00:00")).timestamp() + float(fraction or 0)


def base_image() -> str:
    """Return the base of the images, as the Dockerfile names it. Raises Failed."""
    found = re.search(r"^FROM (\S+) AS base$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    if found is None:
        raise Failed("the Dockerfile has no stage called base")
    return found[1]


def run_images(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Return the MB of each image above the base, as the engine counts them."""
    project = Project()
    try:
        project.compose("build")
        base = project.bytes_of(base_image())
        above = {name: (project.bytes_of(f"{project.project}-{name}") - base) / 1e6 for name in IMAGES}
    finally:
        project.clean_up(progress)
    progress.did(BUILD_S, ", ".join(f"{name} +{size:.1f} MB" for name, size in above.items()))
    return {"above_base_mb": above, "base_mb": base / 1e6, "base": base_image(), "engine": project.version()}


def run_start(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Return the seconds until each service was healthy, and until the command returned, in each round."""
    project = Project()
    healthy: dict[str, list[float]] = {name: [] for name in SERVICES}
    returned: list[float] = []
    try:
        project.compose("build")
        progress.did(BUILD_S, "images are built")
        for number in range(settings.rounds):
            began = time.time()
            project.compose("up", "-d", "--no-build")
            returned.append(time.time() - began)
            for name in SERVICES:
                healthy[name].append(project.healthy_at(name) - began)
            project.compose("down", "-v", "--timeout", "1")
            last = max(times[-1] for times in healthy.values())
            progress.did(START_S, f"round {number + 1}  all healthy after {last:.2f} s")
    finally:
        project.clean_up(progress)
    return {"healthy_s": healthy, "up_returned_s": returned, "engine": project.version()}


def planned_start(settings: Settings) -> float:
    return BUILD_S + settings.rounds * START_S


PARTS = (
    Part("images", "the size of the images above their base", run_images, lambda _: BUILD_S, ("docker",)),
    Part("start", "from `docker compose up` to all healthy", run_start, planned_start, ("docker",)),
)
