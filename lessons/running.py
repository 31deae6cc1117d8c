"""One lesson: the services with its fault, the load, what happens meanwhile, and whether the report shows the fault."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed import ROOT, Fleet, Process, wait_until

from .catalog import Lesson
from .cluster import Cluster
from .events import lose_power

RUN_S = 150.0  # seconds a load may take
BEGUN = re.compile(r"^Run (\w+): ", re.MULTILINE)  # printed by the load generator; reports and ledgers bear the mark


class NotRun(Exception):
    """A lesson could not be run; the message says why."""


@dataclass(frozen=True)
class Result:
    """What a run of a lesson has shown."""

    lesson: Lesson
    report: dict[str, Any]
    page: Path  # the report as a page
    printed: str  # by the load generator
    others: tuple[dict[str, Any], ...] = ()  # the reports of the loads on further replicas

    @property
    def figure(self) -> float:
        return self.lesson.figure(self.report)

    @property
    def passes(self) -> bool:
        """Whether every audit passes and the fault is not there."""
        return not self.is_caught and not any(report["verdict"] for report in (self.report, *self.others))

    @property
    def is_caught(self) -> bool:
        return self.lesson.is_caught(self.report)


class Load:
    """A run of the load generator against a fleet."""

    def __init__(self, lesson: Lesson, fleet: Fleet, reports: Path, code: Path, page: bool = False, **env: str) -> None:
        reports.mkdir(parents=True, exist_ok=True)
        self.reports = reports.resolve()
        scenario = lesson.scenario
        if "\n" in scenario:
            (self.reports / f"{lesson.name}.toml").write_text(scenario)
            scenario = str(self.reports / f"{lesson.name}.toml")
        options: list[object] = [] if page else ["--headless"]
        options += ["--writes", lesson.writes, "--users", lesson.users, "--scenario", scenario]
        options += ["--rate", lesson.rate] if lesson.rate else []
        told = {"LOADGEN_TITLE": f"Lesson: {lesson.name}", "LOADGEN_QUESTION": lesson.question}
        self._log = self.reports / f"{lesson.name}.log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "loadgen", *map(str, options)],
                cwd=code if lesson.service == "loadgen" else ROOT,
                env=os.environ | fleet.urls() | {"REPORT_DIR": str(self.reports)} | told | env,
                stdout=log,
                stderr=log,
            )

    def acknowledged(self) -> int:
        """Return the number of writes that the ledger holds as acknowledged by now."""
        ledger = self._file("ledger-{}.jsonl")
        return ledger.read_bytes().count(b'"event":"ok"') if ledger else 0

    def await_writes(self, acknowledged: int) -> None:
        """Wait until so many writes are acknowledged. Raises NotRun: the load ended before."""
        wait_until(lambda: self.acknowledged() >= acknowledged or self.process.poll() is not None, RUN_S, "writes")
        if self.process.poll() is not None:
            raise NotRun(f"The load ended before {acknowledged:,} writes were acknowledged.\n{self.printed()}")

    def printed(self) -> str:
        """Return what the load generator has printed."""
        return self._log.read_text()

    def report(self) -> Path:
        """Wait for the report and return its path. Raises NotRun."""
        wait_until(lambda: self._file("report-{}.json") or self.process.poll() is not None, RUN_S, "the report")
        if (made := self._file("report-{}.json")) is None:
            raise NotRun(f"The load generator made no report.\n{self.printed()}")
        return made

    def _file(self, name: str) -> Path | None:
        """Return a file of this run, whose name has its mark; None: it is not there yet."""
        begun = BEGUN.search(self.printed())
        path = self.reports / name.format(begun[1]) if begun else None
        return path if path is not None and path.exists() else None

    def end(self) -> None:
        """End it, if it still runs."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(RUN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()


@contextmanager
def services(lesson: Lesson, code: Path, reports: Path) -> Iterator[tuple[Fleet, list[Process], Cluster | None]]:
    """Start the services, the one of the lesson from `code`. Yield them, more replicas of that one, and its server.

    Their databases are below `reports`: a directory for temporary files may be memory.
    """
    with ExitStack() as stack:
        cluster = Cluster(standby=lesson.postgres == "standby") if lesson.postgres else None
        if cluster is not None:
            stack.callback(cluster.remove)
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=reports)))
        fleet = Fleet(directory)
        if cluster is not None and cluster.standby is not None:
            cluster.lead_to_both(fleet, directory)
        replicas = []
        if lesson.service in fleet.by_name:
            first = fleet.by_name[lesson.service]
            first.root = code.resolve()
            if lesson.on_disk:
                lose_power(first)
            if lesson.postgres == "replicas":
                replicas.append(Process(first.service, first.app, first.directory, {}, first.root))
        stack.callback(fleet.stop)
        fleet.start()
        for replica in replicas:
            stack.callback(replica.stop)
            replica.start()
        yield fleet, replicas, cluster


def run(lesson: Lesson, code: Path, reports: Path, stay: Callable[[Result], None] | None = None) -> Result:
    """Run the lesson's load against services of which one runs from `code`. Raises NotRun.

    With `stay` the load generator has its page, and everything runs until `stay` returns.
    """
    reports.mkdir(parents=True, exist_ok=True)
    with services(lesson, code, reports) as (fleet, replicas, cluster), ExitStack() as stack:
        witness = lesson.witness(fleet, lesson.service) if lesson.witness else None
        load = Load(lesson, fleet, reports, code, page=stay is not None)
        stack.callback(load.end)
        others = []
        for number, replica in enumerate(replicas, start=2):
            url = {f"{lesson.service.upper()}_URL": replica.url}
            more = Load(lesson, fleet, reports / f"replica-{number}", code, False, **url)
            stack.callback(more.end)
            others.append(more)
        for event in lesson.events:
            load.await_writes(event.after)
            event.happen(fleet, cluster)
        path = load.report()
        if stay is None:
            load.process.wait(RUN_S)
        report = json.loads(path.read_text(encoding="utf-8"))
        if witness is not None:
            report["witness"] = witness.counted()
        rest = tuple(json.loads(more.report().read_text(encoding="utf-8")) for more in others)
        result = Result(lesson, report, path.with_suffix(".html"), load.printed(), rest)
        if stay is not None:
            stay(result)
        return result
