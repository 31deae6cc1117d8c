"""The memory of the three services together, after many orders."""

from dataclasses import replace
from typing import Any

from .. import contenders
from ..contenders import running
from ..sampling import ORDER, Progress, Settings, load
from . import Part

ORDERS = 100_000
EXPECTED_RATE = 2000  # orders a second, for the plan


def run(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Return the MB of each service before the first order and after the last, and the number of orders."""
    ours = contenders.threefold(settings.scratch / "memory")
    slice_ = replace(settings, seconds=1.0 if settings.short else 5.0)
    with running(ours):
        ours.feed()
        before = ours.resident_mb()
        measure, wanted = load(ours, "orders", ORDER, slice_), wanted_orders(settings)
        while (there := ours.rows("orders")) < wanted:
            progress.note(f"{there:,} of {wanted:,} orders{progress.left()}")
            measure()
            progress.done_s += slice_.seconds
        after = ours.resident_mb()
        progress.note(f"{sum(after.values()):.1f} MB after {there:,} orders")
    return {"before_mb": before, "after_mb": after, "orders": there}


def wanted_orders(settings: Settings) -> int:
    return ORDERS // 100 if settings.short else ORDERS


def planned(settings: Settings) -> float:
    return wanted_orders(settings) / EXPECTED_RATE


PARTS = (Part("memory", "memory of the three services after 100,000 orders", run, planned),)
