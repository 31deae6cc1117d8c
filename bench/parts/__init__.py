"""What a run consists of: parts, each measured by itself and kept by itself."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ..sampling import Progress, Settings


@dataclass(frozen=True)
class Part:
    """A part of a run.

    `run` gives what was measured, as it is kept in the JSON; `planned` is how many seconds of measuring it tells
    `Progress` of; `needs` names the programs that must be installed.
    """

    name: str
    what: str
    run: Callable[[Settings, Progress], dict[str, Any]]
    planned: Callable[[Settings], float]
    needs: tuple[str, ...] = ("wrk",)


def all_parts() -> dict[str, Part]:
    """Every part by its name, in the order of a run: what is short and matters most comes first."""
    order = (
        "peers", "sqlite", "bulk", "open_load", "memory", "rows", "connections", "batches", "slow_disk", "writers",
        "images", "start",
    )  # fmt: skip
    parts: list[Part] = [import_module(f"{__name__}.{module}").PART for module in order]
    return {part.name: part for part in parts}
