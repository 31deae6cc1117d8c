"""Response times of orders under open load, at half the top rate."""

from typing import Any

from .. import contenders
from ..contenders import running
from ..sampling import CONNECTIONS, ORDER, Progress, Series, Settings, Spread, interleaved, load
from ..tools import oha
from . import Part

LONGER = 4  # times as long as another measurement: a p99 needs many requests


def run(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Return the series of closed load, which finds the top rate, and of open load at half of it."""
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
                f"round {number + 1}  {rate:,.0f}/s scheduled  p50 {sample['p50_ms']:.2f} ms  p99 {sample['p99_ms']:.2f} ms",
            )
    return {"series": {"closed": top, "open": taken}, "due_rate": rate}


def planned(settings: Settings) -> float:
    return settings.planned(1) + settings.rounds * settings.seconds * LONGER


PARTS = (
    Part("open-load", "response times of orders at half the top rate, open load", run, planned, needs=("wrk", "oha")),
)
