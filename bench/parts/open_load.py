"""Response times of orders at half the top rate, under open load: requests are due whatever the answers do."""

from typing import Any

from .. import contenders, oha
from ..contenders import running
from ..sampling import CONNECTIONS, ORDER, Progress, Series, Settings, Spread, interleaved, load
from . import Part

LONGER = 4  # times the seconds of another measurement: a p99 wants many requests


def run(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Series of closed load, which finds the top rate, and of open load at half of it."""
    ours = contenders.threefold(settings.scratch / "open")
    with running(ours):
        ours.feed()
        url = ours.collection("orders")
        top = interleaved({"closed": load(ours, "orders", ORDER, settings)}, settings, progress)["closed"]
        rate = Spread.of(top["rate"]).median / 2
        taken: Series = {}
        for number in range(settings.rounds):
            sample = oha.post(url, ORDER, rate=rate, connections=CONNECTIONS, seconds=settings.seconds * LONGER)
            ours.acknowledged["orders"] += int(sample["requests"])
            for metric, value in sample.items():
                taken.setdefault(metric, []).append(value)
            progress.did(
                settings.seconds * LONGER,
                f"round {number + 1}  {rate:,.0f}/s due  p50 {sample['p50_ms']:.2f} ms  p99 {sample['p99_ms']:.2f} ms",
            )
    return {"series": {"closed": top, "open": taken}, "due_rate": rate}


def planned(settings: Settings) -> float:
    return settings.planned(1) + settings.rounds * settings.seconds * LONGER


PART = Part("open-load", "response times of orders at half the top rate, open load", run, planned, needs=("wrk", "oha"))
