"""Acknowledged writes survive a power cut at any moment, and the same test finds systems broken on purpose."""

from collections import Counter
from typing import Any

import pytest

from lessons.patches import variant

from .run import Loss, Seed

SEEDS = 150
HASTY = variant("service_common.storage.sqlite.database", "answer-before-commit")
ENOUGH = 40  # seeds in which a broken system must lose something


@pytest.mark.parametrize("first", range(0, SEEDS, 50))
def test_acknowledged_writes_survive_power_cuts(first: int) -> None:
    totals = Counter[str]()
    for seed in range(first, first + 50):
        try:
            totals += Seed(seed).run()
        except Loss as loss:
            pytest.fail(f"seed {seed}: {loss}; again: python -m tests.power --seeds 1 --first {seed}")
    assert all(
        totals[name]
        for name in ("acknowledged", "dropped", "torn", "reordered", "replayed", "directory entries in doubt")
    )
    assert totals["cuts"] == 4 * 50


@pytest.mark.parametrize(
    "broken",
    [{"synchronous": "off"}, {"synchronous": "normal"}, {"engine": HASTY}],
    ids=["no sync", "sync at checkpoints only", "acknowledged before the commit"],
)
def test_a_broken_system_is_found(broken: dict[str, Any]) -> None:
    def run_until_loss() -> None:
        for seed in range(ENOUGH):
            Seed(seed, **broken).run()

    with pytest.raises(Loss, match=r"lost|cannot be read|integrity_check"):
        run_until_loss()
