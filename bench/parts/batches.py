"""Orders a second by one client, by the size of its batches."""

from typing import Any

from .. import contenders
from ..contenders import running
from ..sampling import Progress, Settings, interleaved, load
from . import Part
from .bulk import BULK_ORDER, FED

SIZES = (1, 3, 10, 30, 100, 300, 1000)


def run(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Series of orders a second by rows in a batch."""
    ours = contenders.threefold(settings.scratch / "batches")
    with running(ours):
        ours.feed_many(FED)
        targets = {
            str(size): load(ours, "orders", BULK_ORDER, settings, connections=1, batch_of=size) for size in SIZES
        }
        return {"series": interleaved(targets, settings, progress)}


def planned(settings: Settings) -> float:
    return settings.planned(len(SIZES))


PART = Part("batches", "orders a second by one client, by the size of its batches", run, planned)
