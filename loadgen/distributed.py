"""Many machines: a run over Locust's master and workers, with a ledger and an audit for each worker.

The master tells each worker its plan (the scenario, its shares of the writes and of the rate) before Locust tells it
to spawn. With each of Locust's reports a worker tells the state of its own run, at the end with what its audit found;
it is told again and again, so that no single message matters. The master adds up (`joint.py`).
"""
# mypy: allow-untyped-calls

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any, NoReturn

import gevent
from locust.event import Events
from locust.exception import RPCError, StopTest
from locust.runners import STATE_INIT, STATE_RUNNING, STATE_SPAWNING, MasterRunner, WorkerRunner
from locust.stats import RequestStats, setup_distributed_stats_event_listeners

from . import report
from .audit import Report
from .conductor import Conductor, Json, cannot_start
from .gauges import Gauges
from .joint import LOST_S, Joint, add_up
from .ledger import Op
from .report import Measured
from .run import RunState
from .scenario import Scenario, steady
from .settings import Settings

PLAN = "threefold_plan"  # the message of a master
TOLD = "threefold"  # the part of a worker's report to its master that is ours
LOOK_EVERY_S = 0.2
JOIN_S = 5.0  # workers that are started together come with less time than this between two


class Master(Conductor):
    """Plans runs, hears of them, and adds up what the workers found. It makes no writes itself."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._names: dict[str, str] = {}  # of workers that are ready to be told a plan, by Locust's id

    def connect(self) -> None:
        super().connect()
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
        """Whether there is nothing yet that could be judged, and no page from which to begin it."""
        return self._headless and self.run is None

    def give_up(self, reason: str) -> NoReturn:
        """Let the workers go, and exit with 2: Locust would with 1, which is a verdict."""
        self._master.quit()
        cannot_start(reason)

    def await_workers(self) -> None:
        """Hold back the run that Locust begins by itself until the workers that are on their way are there.

        With --expect-workers their number is known; gives up where they do not come in --expect-workers-max-wait.
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
            gevent.sleep(LOOK_EVERY_S)
            if (now := self._present()) != there:
                there, changed = now, time.monotonic()
        options.expect_workers = 1  # Locust looks every second

    def _begin(self, **_: Any) -> None:
        """Before Locust tells the workers to spawn: a plan for each."""
        self._clear_the_way()
        run = self.run = Joint(self.settings.report_dir, self._budget())
        deadline = time.monotonic() + LOST_S
        while (silent := set(self._present()) - set(self._names)) and time.monotonic() < deadline:
            gevent.sleep(LOOK_EVERY_S)
        present = sorted(self._present(), key=self._master.get_worker_index)
        run.plan({id_: self._names[id_] for id_ in present if id_ in self._names})
        for id_ in silent:
            run.flaw(f"the worker {id_} never said that it is ready")
        plan = {"run": run.mark, "scenario": asdict(self._scenario)}
        for id_, part in run.parts.items():
            rate = self._rate and self._rate / len(run.parts)
            self._master.send_message(PLAN, plan | {"writes": part.share, "rate": rate}, client_id=id_)
        self._announce(run, f"{len(run.parts)} workers: {', '.join(part.name for part in run.parts.values())}")

    def _hear(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        """What a worker tells; Locust's own listener has added its statistics to ours before."""
        told = data.get(TOLD)
        if told is None:
            return
        index = self._master.get_worker_index(client_id) + 1
        self._names[client_id] = f"worker {index} on {told['host']} (pid {told['pid']})"
        run = self.run
        if isinstance(run, Joint) and told["of"] == run.mark:
            run.hear(client_id, told)
            if self._gauges is None and run.phase == "load" and run.load_ended is None:
                self._gauges = Gauges(self.settings)

    def _stop_when_exhausted(self, run: RunState) -> None:
        """The load is over when no worker that is still there has anything left to do."""
        assert isinstance(run, Joint)
        going_on = (STATE_SPAWNING, STATE_RUNNING)
        while self._master.state in going_on and not all(part.exhausted for part in run.waited_for()):
            gevent.sleep(LOOK_EVERY_S)
        if run is self.run and self._master.state in going_on:  # and nobody has stopped it
            self._master.stop()
            if self._headless:
                self._master.quit()

    def _end(self, **_: Any) -> None:
        """The workers are stopped, or are told to now; without a page, wait for their verdicts."""
        run = self.run
        if not isinstance(run, Joint) or run.load_ended is not None:
            return
        run.load_ended = time.monotonic()
        clients = self._master.clients
        for node in (*clients.running, *clients.spawning):  # at the end of --run-time Locust would only let them quit
            self._master.send_message("stop", client_id=node.id)
        if self._gauges:
            self._gauges.load_ended()
        self._judging = gevent.spawn(self._judge, run, partial(self._gather, run, self._gauges))
        if self._headless:
            self._judging.join()

    def _gather(self, run: Joint, gauges: Gauges | None) -> tuple[Report, Measured, Json]:
        """Wait for the workers' verdicts and add them up."""
        began = time.monotonic()
        while run.waited_for():
            run.phase = "settle" if run.settling() else "audit"
            gevent.sleep(LOOK_EVERY_S)
        parts = list(run.parts.values())
        judged = add_up(run.mark, parts, run.flaws)
        measured = self._measured(run)
        if self._rate:
            late = [part.report["load"].get("generator_late_ms", 0.0) for part in parts if part.report]
            measured = replace(measured, rate=self._rate, late_ms=max(late, default=0.0))
        times = {"started_at": run.started_at.isoformat(timespec="milliseconds")}
        content = report.as_json(judged, measured, times)
        costs = gauges.as_json(run.requests, run.load_seconds()) if gauges else []
        content |= {
            "workers": [part.as_json(run.directory, final=True) for part in parts],
            "settings": run.settings,
            "costs": [*(cost | {"process": "master"} for cost in costs[:1]), *run.costs(), *costs[1:]],
            "restarts": gauges.restarts if gauges else [],
            "outages": run.outages(),
            "audit": {"seconds": round(time.monotonic() - began, 1), "rows_read_back": run.audited},
            "timeline": run.merged_timeline().as_json(),
        }
        return judged, measured, content

    def _judge(self, run: RunState, work: Callable[[], tuple[Report, Measured, Json]]) -> None:
        super()._judge(run, work)
        assert isinstance(run, Joint)
        for id_, part in run.parts.items():
            if not part.over and id_ in self._master.clients:
                del self._master.clients[id_]  # which Locust does in a minute, and is not ready for a run until then
        self._master.check_stopped()

    def _show_report(self, judged: Report, measured: Measured, content: Json) -> None:
        self._console.print()
        report.show_workers(content["workers"], self._console)
        super()._show_report(judged, measured, content)


class Worker(Conductor):
    """Makes its share of a master's run, with a ledger and an audit of its own, and tells of it."""

    costs_of = ()  # what the services cost, the master asks once for all

    def __init__(self, environment: Any, settings: Settings, follow: Callable[[Scenario, float | None], None]) -> None:
        """`follow` lets the shoppers do what a scenario says, at a rate or as fast as they are answered."""
        super().__init__(environment, settings, steady(), lambda: self._plan["writes"])
        self._follow = follow
        self._plan: dict[str, Any] = {}
        self._begun = False  # what the plan says
        self._trouble: str | None = None  # why it could not be
        self._keep_stats()

    def connect(self) -> None:
        super().connect()
        self.environment.events.report_to_master.add_listener(self._add_to_report)
        self._worker.register_message(PLAN, self._take_plan)
        self._tell()

    @property
    def _worker(self) -> WorkerRunner:
        assert isinstance(self.environment.runner, WorkerRunner)
        return self.environment.runner

    @property
    def _headless(self) -> bool:
        return False  # the master says when it is over

    @property
    def _stats(self) -> RequestStats:
        return self._kept

    def _keep_stats(self) -> None:
        """Begin to add up what Locust reports to the master, and forgets then; with Locust's own arithmetic."""
        self._kept, self._reported = RequestStats(), Events()
        setup_distributed_stats_event_listeners(self._reported, self._kept)

    def _take_plan(self, msg: Any, **_: Any) -> None:
        """The master is about to begin a run."""
        if self.client and self.client.run.load_ended is None:  # of a run that the master gave up, or forgot
            self._worker.stop()
            self._worker.worker_state = STATE_INIT
        self._plan, self._begun, self._trouble = msg.data, False, None

    def _begin(self, **_: Any) -> None:
        if not self._plan or self._begun:  # it came after this run was planned: it waits for the next one
            return
        try:
            self._scenario, self._rate = Scenario.from_plain(self._plan["scenario"]), self._plan["rate"]
            self._follow(self._scenario, self._rate)
            self._keep_stats()
            super()._begin()
            self._begun = True
        except (StopTest, Exception) as error:  # whatever it is, the master must not wait for this worker
            self._trouble = f"{type(error).__name__}: {error}"
        self._tell()

    def _stop_when_exhausted(self, run: RunState) -> None:
        run.exhausted.wait()
        self._tell()

    def _end(self, **_: Any) -> None:
        if self._plan and not self._begun:
            self._trouble = self._trouble or "it was stopped before"
        self._tell()  # the last of the statistics
        super()._end()
        self.environment.stop_timeout = 0.0  # so long Locust waits until it says that this worker is ready again

    def _judge(self, run: RunState, work: Callable[[], tuple[Report, Measured, Json]]) -> None:
        super()._judge(run, work)
        self._tell()

    def _tell(self) -> None:
        """Send Locust's report to the master now."""
        data: dict[str, Any] = {}
        self.environment.events.report_to_master.fire(client_id=self._worker.client_id, data=data)
        with contextlib.suppress(RPCError):  # the next report, in 3 s, says the same
            self._worker.send_message("stats", data)

    def _add_to_report(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        self._reported.worker_report.fire(client_id=client_id, data=data)
        run = self.client.run if self.client and self._begun else None
        data[TOLD] = {
            "of": self._plan.get("run"),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "state": run and run.state(),
            "exhausted": run is not None and run.exhausted.is_set(),
            "trouble": self._trouble,
            "timeline": run.timeline.pack() if run and run.load_ended is not None else None,
            "requests": run.requests if run else {},
        }

    def _settings(self, run: RunState) -> dict[str, Any]:
        """Without those that only the master has."""
        others = dict.fromkeys(("users", "spawn_rate", "run_time"))
        return super()._settings(run) | others | {"part_of_run": self._plan["run"]}

    def _show_sample(self, ops: Sequence[Op]) -> None:
        """The tables are the master's to show; a worker prints a few lines."""

    def _show_view(self, run: RunState) -> None:
        pass

    def _show_progress(self, run: RunState) -> None:
        pass

    def _show_report(self, judged: Report, measured: Measured, content: Json) -> None:
        self._say(report.verdict_line(judged))
