"""Rows a second by one client in batches of 1000, beside SQLite alone in groups of 1000."""

from typing import Any

from .. import contenders
from ..contenders import SERVICES, running
from ..sampling import ITEMS, Progress, Settings, interleaved, load
from . import Part
from .sqlite import alone

SIZE = 1000
FED = 500  # users and products that the orders name at random; one look-up may ask for that many
BULK_ORDER = '{"user_id": {500}, "product_id": {500}, "quantity": 2}'


def run(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Return the series of each service, and of SQLite alone with that service's table."""
    ours = contenders.threefold(settings.scratch / "bulk")
    with running(ours):
        ours.feed_many(FED)
        targets = {}
        for service in SERVICES:
            item = BULK_ORDER if service == "orders" else ITEMS[service]
            targets[service] = load(ours, service, item, settings, connections=1, batch_of=SIZE)
            targets[f"sqlite {service}"] = alone(service, SIZE, settings.scratch, settings.seconds)
        series = interleaved(targets, settings, progress)
    return {"series": series}


def planned(settings: Settings) -> float:
    return settings.planned(2 * len(SERVICES))


PARTS = (Part("bulk", "rows a second by one client in batches of 1000, beside SQLite alone", run, planned),)
