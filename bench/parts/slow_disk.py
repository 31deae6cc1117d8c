"""Group commit compared with a commit for each request, on this disk and on one whose syncs take 5 ms."""

from collections.abc import Callable
from typing import Any

from .. import contenders
from ..contenders import System, running
from ..sampling import ORDER, Progress, Sample, Settings, groups_of, interleaved, load
from ..tools.wrk import Failed
from . import Part

SYNC_MS = 5.0
CONTENDERS = {"this disk": 0.0, "5 ms a sync": SYNC_MS}
WAYS = {"group commit": {}, "a commit each": {"WRITE_BATCH_ROWS": "1"}}


def grouped(system: System, settings: Settings, slowest_ms: float) -> Callable[[], Sample]:
    """Return a measurement of orders a second, writes in a transaction, and milliseconds of its COMMIT."""
    measure = load(system, "orders", ORDER, settings)

    def measured() -> Sample:
        earlier = groups_of(system.url("orders"))
        sample = measure()
        count, jobs, seconds = (now - then for now, then in zip(groups_of(system.url("orders")), earlier, strict=True))
        commit_ms = seconds * 1000 / count
        if commit_ms < slowest_ms:
            raise Failed(
                f"{system.name}: a COMMIT took {commit_ms:.2f} ms, although its sync alone takes {slowest_ms:g}"
            )
        return sample | {"group": jobs / count, "commit_ms": commit_ms}

    return measured


def run(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Return the series by disk and way."""
    systems = {
        f"{disk}, {way}": (contenders.slowed(settings.scratch / f"{disk}-{way}".replace(" ", "-"), way, ms, **env), ms)
        for disk, ms in CONTENDERS.items()
        for way, env in WAYS.items()
    }
    with running(*(system for system, _ in systems.values())):
        for system, _ in systems.values():
            system.feed()
        return {
            "series": interleaved(
                {name: grouped(system, settings, ms) for name, (system, ms) in systems.items()}, settings, progress
            )
        }


def planned(settings: Settings) -> float:
    return settings.planned(len(CONTENDERS) * len(WAYS))


PARTS = (
    Part("slow-disk", "group commit compared with a commit for each request, also with syncs of 5 ms", run, planned),
)
