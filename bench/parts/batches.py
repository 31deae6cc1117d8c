"""Orders a second by one client, by the size of its batches."""

from typing import Any

from .. import contenders
from ..contenders import running
from ..sampling import Progress, Settings, batch, interleaved, load
from . import Part
from .bulk import BULK_ORDER, FED

SIZES = (1, 3, 10, 30, 100, 300, 1000)


def run(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Series of orders a second by rows in a batch."""
    ours = contenders.threefold(settings.scratch / "batches")
    with running(ours):
        ours.feed_many(FED)
        url = f"{ours.collection('orders')}/batch"
        targets = {str(size): load(url, batch(BULK_ORDER, size), [ours], settings, 1, size) for size in SIZES}
        return {"series": interleaved(targets, settings, progress)}


def planned(settings: Settings) -> float:
    return settings.planned(len(SIZES))


PART = Part("batches", "orders a second by one client, by the size of its batches", run, planned)
