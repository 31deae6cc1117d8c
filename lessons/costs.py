"""What it costs to be right: the load of a lesson without its fault and with it, by turns."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from testbed import SERVICES

from .catalog import Lesson
from .patches import copy_code
from .running import Result, run

ROUNDS = 3  # of both
WRITES = 5000  # of a closed load; an open one lasts as long as in the lesson


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
        right, wrong = (f"{each:,.0f}" if each >= 100 else f"{each:.3g}" for each in (self.right, self.wrong))
        return f"{self.name}: {right} {self.unit}, with the fault {wrong}; ratio {ratio}"


def measure(lesson: Lesson, code: Path, reports: Path, rounds: int = ROUNDS) -> Iterator[Cost]:
    """Run the load of a lesson, without what happens meanwhile, and yield what differs. `code` is made anew.

    Raises:
        NotRun: a run came to no end.
    """
    load = replace(
        lesson,
        writes=lesson.writes if lesson.rate else WRITES,
        events=(),
        on_disk=False,  # the real disk, since this one forgets but does not wait
        witness=None,
    )
    right: list[Result] = []
    wrong: list[Result] = []
    for _ in range(rounds):
        for results, fault in ((right, None), (wrong, lesson.name)):
            results.append(run(load, copy_code(code, fault), reports))
    if all(cpu_us(result) for result in (*right, *wrong)):  # only Linux knows it
        yield compare(f"CPU time of {cpu_of(lesson)} a request", "µs", right, wrong, cpu_us)
    yield compare(f"median time of {busiest(right[0])}", "ms", right, wrong, median_ms)


def compare(name: str, unit: str, right: list[Result], wrong: list[Result], figure: Callable[[Result], float]) -> Cost:
    """Return one figure of both."""
    pairs = [(figure(one), figure(other)) for one, other in zip(right, wrong, strict=True)]
    ratios = sorted(one / other for one, other in pairs)
    return Cost(name, unit, median(one for one, _ in pairs), median(other for _, other in pairs), tuple(ratios))


def cpu_of(lesson: Lesson) -> str:
    """Say whose CPU time counts: a fault in one service may cost another one something."""
    return "the load generator" if lesson.service == "loadgen" else "all services"


def cpu_us(result: Result) -> float:
    """Return that CPU time for each request of the load; 0 where it is not known."""
    costs = {each["process"]: each for each in result.report["costs"]}
    counted = ("loadgen",) if result.lesson.service == "loadgen" else SERVICES
    seconds = sum(costs[name]["cpu_seconds"] for name in counted if name in costs)
    return float(seconds / costs["loadgen"]["requests"] * 1e6)


def busiest(result: Result) -> str:
    """Return the name of the action with most requests."""
    return str(max(result.report["latencies_ms"], key=lambda each: each["requests"])["action"])


def median_ms(result: Result) -> float:
    """Return the median response time of that action."""
    return float(next(each["p50"] for each in result.report["latencies_ms"] if each["action"] == busiest(result)))
