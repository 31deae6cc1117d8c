"""The parts of a run, each measured by itself and kept by itself."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ..sampling import Progress, Settings

# In the order of a run: the short and important ones first.
MODULES = (
    "peers",
    "sqlite",
    "bulk",
    "open_load",
    "memory",
    "rows",
    "sweeps",
    "slow_disk",
    "composed.postgres",
    "composed.containers",
)


@dataclass(frozen=True)
class Part:
    """A part of a run.

    `run` returns the figures as they are kept in the JSON; `planned` is the seconds of measuring that it will report to
    `Progress`; `needs` names the programs that must be installed.
    """

    name: str
    what: str
    run: Callable[[Settings, Progress], dict[str, Any]]
    planned: Callable[[Settings], float]
    needs: tuple[str, ...] = ("wrk",)


def all_parts() -> dict[str, Part]:
    """Return every part by its name, in the order of a run."""
    parts: list[Part] = [part for module in MODULES for part in import_module(f"{__name__}.{module}").PARTS]
    return {part.name: part for part in parts}
