"""Sweeps of one size: orders a second by the number of connections, and by the size of batches."""

from typing import Any

from .. import contenders
from ..contenders import running
from ..sampling import ORDER, Progress, Settings, interleaved, load
from . import Part
from .bulk import BULK_ORDER, FED

CONNECTIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
BATCH_SIZES = (1, 3, 10, 30, 100, 300, 1000)


def run_connections(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Return the series of orders a second by connections."""
    ours = contenders.threefold(settings.scratch / "connections")
    with running(ours):
        ours.feed()
        targets = {str(number): load(ours, "orders", ORDER, settings, number) for number in connections(settings)}
        return {"series": interleaved(targets, settings, progress)}


def connections(settings: Settings) -> tuple[int, ...]:
    return (1, 64, 512) if settings.short else CONNECTIONS


def planned_connections(settings: Settings) -> float:
    return settings.planned(len(connections(settings)))


def run_batches(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Return the series of orders a second of one client, by rows in a batch."""
    ours = contenders.threefold(settings.scratch / "batches")
    with running(ours):
        ours.feed_many(FED)
        targets = {
            str(size): load(ours, "orders", BULK_ORDER, settings, connections=1, batch_of=size) for size in BATCH_SIZES
        }
        return {"series": interleaved(targets, settings, progress)}


def planned_batches(settings: Settings) -> float:
    return settings.planned(len(BATCH_SIZES))


PARTS = (
    Part("connections", "orders a second by the number of connections", run_connections, planned_connections),
    Part("batches", "orders a second by one client, by the size of its batches", run_batches, planned_batches),
)
