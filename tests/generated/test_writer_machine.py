"""The database against a model, on a disk that fails in any order: a power cut leaves what was answered."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import gevent
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from service_common.storage.database import Answer, Insert, Kept, Key, UniqueViolation, Write

from ..storage.bench import TABLE, Bench

FAULTS = st.sampled_from(
    [
        ("full",),
        ("writes_fail",),
        ("fsync_fails",),
        ("fsync_fails", "truncate_fails", "open_fails"),
        ("fsync_fails", "truncate_fails"),
    ]
)
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # the disk is simulated, and syncs often
REFUSALS = {"Unavailable", "Overloaded"}


class Spoiled(Exception):
    """Raised by a write after it has changed rows."""


class WriterMachine(RuleBasedStateMachine):
    """Groups of writes, some of them equal, some keyed, some failing alone, while the disk breaks and is repaired."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="writer-", dir=MEMORY))
        self.bench = Bench(self.directory)
        self.acknowledged: set[int] = set()
        self.doubtful: set[int] = set()
        self.answers: dict[int, Answer] = {}  # of keyed writes, by their number
        self.sound = True

    def settle(self, x: int, outcome: Any) -> None:
        """Note what a write was answered."""
        if isinstance(outcome, int):
            assert x not in self.acknowledged, "accepted twice"
            self.acknowledged.add(x)
            self.doubtful.discard(x)
        elif outcome == "OutcomeUnknown":
            self.doubtful.add(x)
        elif isinstance(outcome, UniqueViolation):
            assert x in self.acknowledged | self.doubtful, "refused as a duplicate of nothing"
        else:
            assert isinstance(outcome, Spoiled) or outcome in REFUSALS, outcome
            assert not (self.sound and outcome in REFUSALS), "refused without cause"

    @rule(xs=st.lists(st.integers(0, 15), min_size=1, max_size=6), spoil=st.integers(0, 12), large=st.booleans())
    def write_together(self, xs: list[int], spoil: int, large: bool) -> None:
        runs = [(x, (self.bench.insert_large if large else self.bench.insert)(x)) for x in xs]
        runs.insert(spoil % 6, (-1, self.bench.insert_and_raise(-1, Spoiled))) if spoil < 6 else None
        # The second of two equal writes in one group sees the first.
        greenlets = [gevent.spawn(self.bench.outcome_of, write) for _, write in runs]
        gevent.joinall(greenlets, timeout=20, raise_error=True)
        for (x, _), greenlet in sorted(
            zip(runs, greenlets, strict=True), key=lambda done: not isinstance(done[1].value, int)
        ):
            self.settle(x, greenlet.value)

    def keyed(self, number: int) -> Write:
        """Return a keyed write. It inserts a row that only it inserts, so that a second time would be refused."""

        def answer(rows: Any) -> Answer:
            return Answer(409 if isinstance(rows[0], UniqueViolation) else 201, str(rows[0][0]).encode(), {})

        return Write(Insert(TABLE, [(-2 - number,)]), answer, Key(f"key{number}", b"f"))

    @rule(numbers=st.lists(st.integers(0, 3), min_size=1, max_size=4))
    def write_under_keys(self, numbers: list[int]) -> None:
        outcomes = self.bench.outcomes_of(*map(self.keyed, numbers))
        for number, outcome in zip(numbers, outcomes, strict=True):  # the first of equal ones in a group is made
            x = -2 - number
            if isinstance(outcome, Kept):
                assert x in self.acknowledged | self.doubtful, "replayed what was never made"
                assert self.answers.setdefault(number, outcome.answer) == outcome.answer, "another answer is replayed"
                assert outcome.answer.status == 201
                self.acknowledged.add(x)
                self.doubtful.discard(x)
            elif isinstance(outcome, Answer):
                assert outcome.status == 201, "made twice under one key"
                self.answers[number] = outcome
                self.settle(x, int(outcome.body))
            else:
                self.settle(x, outcome)

    @rule(faults=FAULTS)
    def break_the_disk(self, faults: tuple[str, ...]) -> None:
        self.sound = False
        for fault in faults:
            setattr(self.bench.disk, fault, True)

    @rule()
    def break_the_disk_for_good_at_the_next_sync(self) -> None:
        """The sync brings everything to the platter, fails, and after it nothing can be written any more."""
        self.sound = False
        self.bench.disk.fsync_fails = True
        self.bench.disk.on_sync = lambda: setattr(self.bench.disk, "writes_fail", True)

    @rule(x=st.integers(16, 10**6))
    def repair_the_disk(self, x: int) -> None:
        """From here on everything works again, by itself, at once."""
        self.repair()
        self.bench.age()
        assert self.bench.database.writable()
        self.sound = True
        if x not in self.acknowledged | self.doubtful:
            self.settle(x, self.bench.outcome(x))
            assert x in self.acknowledged

    def repair(self) -> None:
        self.bench.disk.repair()
        self.bench.disk.on_sync = lambda: None

    @invariant()
    def a_crash_leaves_what_was_answered(self) -> None:
        assert self.bench.database.alive()
        for left in (self.bench.cut_off(), self.bench.crashed()):
            assert len(left) == len(set(left))
            assert self.acknowledged <= set(left) <= self.acknowledged | self.doubtful

    def teardown(self) -> None:
        self.repair()
        self.bench.database.close(5)
        shutil.rmtree(self.directory)


TestWriter = WriterMachine.TestCase
TestWriter.settings = settings(max_examples=max(1, settings().max_examples // 2), stateful_step_count=15)
