"""A worker of a distributed run: it makes its share of the writes, with a ledger and an audit of its own."""
# mypy: allow-untyped-calls

import contextlib
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

from locust.exception import RPCError, StopTest
from locust.runners import STATE_INIT, WorkerRunner

from ..settings import Settings
from ..traffic.operation import Op
from ..traffic.scenario import Scenario, steady
from .auditing import Outcome
from .distributed_run import PLAN, TOLD
from .lifecycle import Lifecycle
from .state import Run, RunState

LATEST = 15  # slices in each report, of which the master gets one every 3 s: it may miss some of them


class Worker(Lifecycle):
    """Follows the plan of a master, and reports to it."""

    costs_of = ()  # the master samples the services, once for all workers

    def __init__(self, environment: Any, settings: Settings, follow: Callable[[Scenario, float | None], None]) -> None:
        """`follow` makes the virtual users act as a scenario says, at a rate or as fast as they are answered."""
        super().__init__(environment, settings, steady(), lambda: self._plan["writes"])
        self._follow_scenario = follow
        self._plan: dict[str, Any] = {}
        self._begun = False  # the run of this plan
        self._trouble: str | None = None  # the reason why that failed

    def connect(self) -> None:
        super().connect()
        self.environment.events.report_to_master.add_listener(self._add_to_report)
        self._worker.register_message(PLAN, self._take_plan)
        self._report()

    @property
    def _worker(self) -> WorkerRunner:
        assert isinstance(self.environment.runner, WorkerRunner)
        return self.environment.runner

    @property
    def _headless(self) -> bool:
        return False  # the master says when it is over

    def _take_plan(self, msg: Any, **_: Any) -> None:
        """The master is about to begin a run."""
        if self.run and self.run.load_ended is None:  # of a run that the master gave up, or forgot
            self._worker.stop()
            self._worker.worker_state = STATE_INIT
        self._plan, self._begun, self._trouble = msg.data, False, None

    def _begin(self, **_: Any) -> None:
        if not self._plan or self._begun:  # it came after this run was planned: it waits for the next one
            return
        try:
            self._scenario, self._rate = Scenario.from_plain(self._plan["scenario"]), self._plan["rate"]
            self._follow_scenario(self._scenario, self._rate)
            super()._begin()
            self._begun = True
        except (StopTest, Exception) as error:  # whatever it is, the master must not wait for this worker
            self._trouble = f"{type(error).__name__}: {error}"
        self._report()

    def _stop_when_exhausted(self, run: RunState) -> None:
        run.budget.exhausted.wait()
        self._report()

    def _end(self, **_: Any) -> None:
        if self._plan and not self._begun:
            self._trouble = self._trouble or "it was stopped before"
        super()._end()
        self._report()
        self.environment.stop_timeout = 0.0  # Locust waits as long before this worker is ready again

    def _judge(self, run: RunState, work: Callable[[], Outcome]) -> None:
        super()._judge(run, work)
        self._report()

    def _report(self) -> None:
        """Send Locust's report to the master now."""
        data: dict[str, Any] = {}
        self.environment.events.report_to_master.fire(client_id=self._worker.client_id, data=data)
        with contextlib.suppress(RPCError):  # the next report, in 3 s, says the same
            self._worker.send_message("stats", data)

    def _add_to_report(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        run = self.run if self._begun and isinstance(self.run, Run) else None
        ended = run is not None and run.load_ended is not None
        timeline = run and run.measurements.timeline
        data[TOLD] = {
            "of": self._plan.get("run"),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "state": run and run.state(),
            "exhausted": run is not None and run.budget.exhausted.is_set(),
            "trouble": self._trouble,
            "requests": run.measurements.requests if run else {},
            "measurements": run.measurements.pack() if run and ended else None,
            "timeline": timeline and timeline.pack(max(0, len(timeline.slices) - LATEST)),
            "outages": timeline.outages_as_json() if timeline else [],
            "traces": run.traces()[1] if run and ended else [],
        }

    def _settings(self, run: RunState) -> dict[str, Any]:
        """Return the settings without those that only the master has."""
        others = dict.fromkeys(("users", "spawn_rate", "run_time"))
        return super()._settings(run) | others | {"part_of_run": self._plan["run"]}

    # The master shows the run; a worker prints where its files are, and its verdict.

    def _show_sample(self, ops: Sequence[Op]) -> None:
        pass

    def _follow(self, run: RunState) -> None:
        pass

    def _show_report(self, outcome: Outcome) -> None:
        pass
