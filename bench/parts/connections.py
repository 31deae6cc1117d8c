"""Orders a second by the number of connections."""

from typing import Any

from .. import contenders
from ..contenders import running
from ..sampling import ORDER, Progress, Settings, interleaved, load
from . import Part

LEVELS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


def run(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Series of orders a second by connections."""
    ours = contenders.threefold(settings.scratch / "connections")
    with running(ours):
        ours.feed()
        targets = {str(level): load(ours, "orders", ORDER, settings, level) for level in levels(settings)}
        return {"series": interleaved(targets, settings, progress)}


def levels(settings: Settings) -> tuple[int, ...]:
    return (1, 64, 512) if settings.short else LEVELS


def planned(settings: Settings) -> float:
    return settings.planned(len(levels(settings)))


PART = Part("connections", "orders a second by the number of connections", run, planned)
