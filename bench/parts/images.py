"""What the images hold above their base."""

import re
from typing import Any

from ..results import ROOT
from ..sampling import Progress, Settings
from ..wrk import Failed
from . import Part
from .start import BUILD_S, IMAGES, Compose


def base_image() -> str:
    """What the images are built on, as the Dockerfile says. Raises Failed."""
    found = re.search(r"^FROM (\S+) AS base$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    if found is None:
        raise Failed("the Dockerfile has no stage called base")
    return found[1]


def run(settings: Settings, progress: Progress) -> dict[str, Any]:
    """MB of each image above the base, as the engine counts them."""
    compose = Compose()
    try:
        compose("build")
        base = compose.bytes_of(base_image())
        above = {name: (compose.bytes_of(f"{compose.project}-{name}") - base) / 1e6 for name in IMAGES}
    finally:
        compose.clean_up(progress)
    progress.did(BUILD_S, ", ".join(f"{name} +{size:.1f} MB" for name, size in above.items()))
    return {"above_base_mb": above, "base_mb": base / 1e6, "base": base_image(), "engine": compose.version()}


def planned(settings: Settings) -> float:
    return BUILD_S


PART = Part("images", "the size of the images above their base", run, planned, ("docker",))
