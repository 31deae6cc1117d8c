"""The master of a distributed run: it plans runs, listens to the workers, and adds up their results.

The master sends each worker its plan (the scenario, its shares of the writes and of the rate) before Locust tells it
to spawn. With each of Locust's reports a worker sends the state of its own run, at the end with the outcome of its
audit. It repeats all of it in every report, so that no single message matters.
"""
# mypy: allow-untyped-calls

import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import Any, NoReturn

import gevent
from locust.runners import STATE_RUNNING, STATE_SPAWNING, MasterRunner

from ..report import console
from ..report.json_report import as_json
from ..report.process_costs import ProcessCosts
from .auditing import Outcome, about, measure
from .distributed_run import LOST_S, PLAN, TOLD, DistributedRun, add_up
from .lifecycle import Lifecycle
from .readiness import cannot_start
from .state import RunState

POLL_S = 0.2
JOIN_S = 5.0  # workers that are started together arrive with less time than this between two


class Master(Lifecycle):
    """Leads the runs of the workers. It makes no writes itself."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._names: dict[str, str] = {}  # of workers that are ready for a plan, by Locust's id

    def connect(self) -> None:
        super().connect()
        self._master.worker_index_max = 1  # of the next worker; Locust would number them from 0
        self.environment.events.worker_report.add_listener(self._hear)

    @property
    def _master(self) -> MasterRunner:
        assert isinstance(self.environment.runner, MasterRunner)
        return self.environment.runner

    def _present(self) -> list[str]:
        clients = self._master.clients
        return [node.id for node in (*clients.ready, *clients.spawning, *clients.running)]

    @property
    def waits(self) -> bool:
        """True while there is nothing yet that could be judged, and no page from which to begin it."""
        return self._headless and self.run is None

    def give_up(self, reason: str) -> NoReturn:
        """Dismiss the workers, and exit with 2: Locust would exit with 1, which is a verdict."""
        self._master.quit()
        cannot_start(reason)

    def await_workers(self) -> None:
        """Delay the run that Locust begins by itself until the workers have arrived.

        With --expect-workers their number is known; gives up if they do not come within --expect-workers-max-wait.
        """
        options: Any = self.environment.parsed_options
        wanted, longest = options.expect_workers, options.expect_workers_max_wait
        options.expect_workers, options.expect_workers_max_wait = sys.maxsize, 0
        gevent.spawn(self._await_workers, options, wanted, longest)

    def _await_workers(self, options: Any, wanted: int, longest: int) -> None:
        began = changed = time.monotonic()
        there: list[str] = []
        while len(there) < wanted or (wanted == 1 and time.monotonic() - changed < JOIN_S):
            if longest and len(there) < wanted and time.monotonic() - began > longest:
                self.give_up(f"{len(there)} of {wanted} workers came within {longest} s: start them, or wait longer.")
            gevent.sleep(POLL_S)
            if (now := self._present()) != there:
                there, changed = now, time.monotonic()
        options.expect_workers = 1  # Locust looks every second

    def _begin(self, **_: Any) -> None:
        """Before Locust tells the workers to spawn: a plan for each."""
        self._end_run_before()
        run = self.run = DistributedRun(self.settings.report_dir, self._limit(), self.settings.report_hint)
        deadline = time.monotonic() + LOST_S
        while (silent := set(self._present()) - set(self._names)) and time.monotonic() < deadline:
            gevent.sleep(POLL_S)
        present = sorted(self._present(), key=self._master.get_worker_index)
        run.plan({id_: self._names[id_] for id_ in present if id_ in self._names})
        for id_ in silent:
            run.flaw(f"the worker {id_} never reported that it is ready")
        plan = {"run": run.mark, "scenario": asdict(self._scenario)}
        for id_, part in run.parts.items():
            rate = self._rate and self._rate / len(run.parts)
            self._master.send_message(PLAN, plan | {"writes": part.share, "rate": rate}, client_id=id_)
        self._announce(run, f"{len(run.parts)} workers: {', '.join(part.name for part in run.parts.values())}")

    def _hear(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        """Take in a worker's report. Workers are numbered from 1, in the order in which they arrived."""
        told = data.get(TOLD)
        if told is None:
            return
        number = self._master.get_worker_index(client_id)
        self._names[client_id] = f"worker {number} on {told['host']} (pid {told['pid']})"
        run = self.run
        if isinstance(run, DistributedRun) and told["of"] == run.mark:
            run.hear(client_id, told)
            if self._costs is None and run.phase == "load" and run.load_ended is None:
                self._costs = ProcessCosts(self.settings)

    def _stop_when_exhausted(self, run: RunState) -> None:
        """The load is over when no worker that is still there has anything left to do."""
        assert isinstance(run, DistributedRun)
        going_on = (STATE_SPAWNING, STATE_RUNNING)
        while self._master.state in going_on and not all(part.exhausted for part in run.waited_for()):
            gevent.sleep(POLL_S)
        if run is self.run and self._master.state in going_on:  # and it has not been stopped
            self._master.stop()
            if self._headless:
                self._master.quit()

    def _end(self, **_: Any) -> None:
        """Stop the workers that still run; without a page, wait for their verdicts."""
        self._stopping = False
        run = self.run
        if not isinstance(run, DistributedRun) or run.load_ended is not None or self._abandoned:
            return
        run.load_ended = time.monotonic()
        clients = self._master.clients
        for node in (*clients.running, *clients.spawning):  # at the end of --run-time Locust would only let them quit
            self._master.send_message("stop", client_id=node.id)
        if self._costs:
            self._costs.load_ended()
        self._judging = gevent.spawn(self._judge, run, partial(self._gather, run, self._costs))
        if self._headless:
            self._judging.join()

    def _gather(self, run: DistributedRun, costs: ProcessCosts | None) -> Outcome:
        """Wait for the workers' verdicts and add them up."""
        began = time.monotonic()
        while run.waited_for():
            run.phase = "settle" if run.settling() else "audit"
            gevent.sleep(POLL_S)
        run.merge_measurements()
        parts = list(run.parts.values())
        report = add_up(run.mark, parts, run.flaws)
        measured = measure(run)
        if self._rate:
            late = [part.report["load"].get("generator_late_ms", 0.0) for part in parts if part.report]
            measured = replace(measured, rate=self._rate, late_ms=max(late, default=0.0))
        content = as_json(report, measured, about(run, costs, time.monotonic() - began))
        own, *of_services = content["costs"] or [{}]
        content |= {
            "workers": [part.as_json(run.directory, final=True) for part in parts],
            "costs": [*([own | {"process": "master"}] if own else []), *run.costs(), *of_services],
            "outages": run.outages(),
        }
        return Outcome(report, measured, content)

    def _judge(self, run: RunState, work: Callable[[], Outcome]) -> None:
        super()._judge(run, work)
        assert isinstance(run, DistributedRun)
        for id_, part in run.parts.items():
            if not part.over and id_ in self._master.clients:
                # Locust forgets a lost worker after a minute, and starts no run until then.
                del self._master.clients[id_]
        self._master.check_stopped()

    def _show_report(self, outcome: Outcome) -> None:
        self._display.console.print()
        console.show_workers(outcome.content["workers"], self._display.console)
        super()._show_report(outcome)
