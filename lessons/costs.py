"""What it costs to be right: the load of a lesson without its fault and with it, by turns."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from .catalog import Lesson
from .patches import copy_code
from .running import Result, run

ROUNDS = 3  # of both
WRITES = 5000
RATE = 1000.0  # writes a second of an open load


@dataclass(frozen=True)
class Cost:
    """A figure of the services as they are, beside the same figure with the fault. Smaller is better."""

    name: str
    unit: str
    right: float  # the median of all rounds
    wrong: float
    ratios: tuple[float, ...]  # right to wrong, one for each round, sorted

    def __str__(self) -> str:
        ratio = f"{median(self.ratios):.2f} ({self.ratios[0]:.2f} to {self.ratios[-1]:.2f})"
        return f"{self.name}: {self.right:.3g} {self.unit}, with the fault {self.wrong:.3g}; ratio {ratio}"


def measure(lesson: Lesson, code: Path, reports: Path, rounds: int = ROUNDS) -> Iterator[Cost]:
    """Run the load of a lesson, without what happens meanwhile, and yield what differs. `code` is made anew.

    Raises:
        NotRun: a run came to no end.
    """
    load = replace(
        lesson,
        writes=WRITES,
        rate=RATE if lesson.rate else None,
        events=(),
        on_disk=False,  # the real disk, since this one forgets but does not wait
        witness=None,
    )
    right: list[Result] = []
    wrong: list[Result] = []
    for _ in range(rounds):
        for results, fault in ((right, None), (wrong, lesson.name)):
            results.append(run(load, copy_code(code, fault), reports))
    if all(lesson.service in processes(result) for result in (*right, *wrong)):  # only Linux knows them
        yield compare(f"CPU time of {lesson.service} a request", "µs", right, wrong, cpu_us)
    yield compare(f"median time of {busiest(right[0])}", "ms", right, wrong, median_ms)


def compare(name: str, unit: str, right: list[Result], wrong: list[Result], figure: Callable[[Result], float]) -> Cost:
    """Return one figure of both."""
    pairs = [(figure(one), figure(other)) for one, other in zip(right, wrong, strict=True)]
    ratios = sorted(one / other for one, other in pairs)
    return Cost(name, unit, median(one for one, _ in pairs), median(other for _, other in pairs), tuple(ratios))


def cpu_us(result: Result) -> float:
    """Return the CPU time of a request of the service that the lesson is about; of the load generator: of its own."""
    return float(processes(result)[result.lesson.service]["cpu_us_per_request"])


def processes(result: Result) -> dict[str, dict[str, Any]]:
    """Return the costs of each process that is known."""
    return {each["process"]: each for each in result.report["costs"]}


def busiest(result: Result) -> str:
    """Return the name of the action with most requests."""
    return str(max(result.report["latencies_ms"], key=lambda each: each["requests"])["action"])


def median_ms(result: Result) -> float:
    """Return the median response time of that action."""
    return float(next(each["p50"] for each in result.report["latencies_ms"] if each["action"] == busiest(result)))
