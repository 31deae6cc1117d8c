"""The writer against a model, on a disk that fails in any order: what it answered is what a power cut leaves behind."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import apsw
import gevent
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ..writer.bench import Bench

FAULTS = st.sampled_from(
    [
        ("full",),
        ("writes_fail",),
        ("fsync_fails",),
        ("fsync_fails", "truncate_fails", "open_fails"),
        ("fsync_fails", "truncate_fails"),
    ]
)
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # the disk is one that is played, and syncs often
REFUSALS = {"storage-unavailable", "overloaded"}


class Spoiled(Exception):
    """What a job raises after it has written."""


class WriterMachine(RuleBasedStateMachine):
    """Groups of writes, some of them equal, some failing by themselves, while the disk breaks and is mended."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="writer-", dir=MEMORY))
        self.bench = Bench(self.directory)
        self.acknowledged: set[int] = set()
        self.doubtful: set[int] = set()
        self.well = True

    def settle(self, x: int, outcome: Any) -> None:
        """Note what a write was answered."""
        if isinstance(outcome, int):
            assert x not in self.acknowledged, "accepted twice"
            self.acknowledged.add(x)
            self.doubtful.discard(x)
        elif outcome == "outcome-unknown":
            self.doubtful.add(x)
        elif isinstance(outcome, apsw.ConstraintError):
            assert x in self.acknowledged | self.doubtful, "refused as a double of nothing"
        else:
            assert isinstance(outcome, Spoiled) or outcome in REFUSALS, outcome
            assert not (self.well and outcome in REFUSALS), "refused without cause"

    @rule(xs=st.lists(st.integers(0, 15), min_size=1, max_size=6), spoil=st.integers(0, 12), large=st.booleans())
    def write_together(self, xs: list[int], spoil: int, large: bool) -> None:
        def spoiled(db: apsw.Connection) -> None:
            self.bench.insert(-1)(db)
            raise Spoiled

        runs = [(x, (self.bench.insert_large if large else self.bench.insert)(x)) for x in xs]
        runs.insert(spoil % 6, (-1, spoiled)) if spoil < 6 else None
        # The second of two equal writes in one group sees the first.
        greenlets = [gevent.spawn(self.bench.outcome_of, run) for _, run in runs]
        gevent.joinall(greenlets, timeout=20, raise_error=True)
        for (x, _), greenlet in sorted(
            zip(runs, greenlets, strict=True), key=lambda done: not isinstance(done[1].value, int)
        ):
            self.settle(x, greenlet.value)

    @rule(faults=FAULTS)
    def break_the_disk(self, faults: tuple[str, ...]) -> None:
        self.well = False
        for fault in faults:
            setattr(self.bench.disk, fault, True)

    @rule()
    def break_the_disk_for_good_at_the_next_sync(self) -> None:
        """The sync brings everything to the platter, fails, and after it nothing can be written any more."""
        self.well = False
        self.bench.disk.fsync_fails = True
        self.bench.disk.on_sync = lambda: setattr(self.bench.disk, "writes_fail", True)

    @rule(x=st.integers(16, 10**6))
    def mend_the_disk(self, x: int) -> None:
        """From here on everything works again, by itself, at once."""
        self.mend()
        self.bench.age()
        assert self.bench.writer.ready()
        self.well = True
        if x not in self.acknowledged | self.doubtful:
            self.settle(x, self.bench.outcome(x))
            assert x in self.acknowledged

    def mend(self) -> None:
        self.bench.disk.well()
        self.bench.disk.on_sync = lambda: None

    @invariant()
    def what_was_answered_is_what_is_left(self) -> None:
        assert self.bench.writer.alive()
        for left in (self.bench.cut_off(), self.bench.crashed()):
            assert len(left) == len(set(left))
            assert self.acknowledged <= set(left) <= self.acknowledged | self.doubtful

    def teardown(self) -> None:
        self.mend()
        self.bench.writer.close(5)
        shutil.rmtree(self.directory)


TestWriter = WriterMachine.TestCase
TestWriter.settings = settings(max_examples=max(1, settings().max_examples // 2), stateful_step_count=15)
