"""The lifecycle of a run from its first line to its verdict, driven by Locust's events."""
# mypy: allow-untyped-calls

import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import gevent
from locust.env import Environment
from locust.exception import StopTest
from locust.runners import STATE_CLEANUP, STATE_INIT, STATE_RUNNING, STATE_SPAWNING, STATE_STOPPED, Runner

from ..audit.judge import NO_VERDICT
from ..report import console, html, json_report
from ..report.process_costs import ProcessCosts
from ..settings import SERVICES, Settings
from ..traces.slowest import Slowest, traceparent
from ..traffic import sample
from ..traffic.arrivals import Arrivals
from ..traffic.operation import Op
from ..traffic.scenario import Scenario
from ..traffic.sender import Sender
from .auditing import Outcome, audit_run, measure
from .display import Display
from .readiness import NotReady, wait_until_ready
from .recording import record
from .state import Run, RunState

EARLIER_RUNS = 20  # that the page still lists
LONGEST_STOP_S = 90.0  # Locust gives workers 60 s more than the time that virtual users have
LOOK_S = 0.05


class Lifecycle:
    """Begins, ends and judges runs as Locust starts and stops its users; one run at a time."""

    costs_of: Sequence[str] = SERVICES  # the services whose processes are sampled during the load

    def __init__(
        self,
        environment: Environment,
        settings: Settings,
        scenario: Scenario,
        limit: Callable[[], int | None],
        rate: float | None = None,
    ) -> None:
        """`limit` returns the writes that the next run may make; None: any number. A `rate` makes the load open."""
        self.environment = environment
        self.settings = settings
        self.run: RunState | None = None
        self.sender: Sender | None = None
        self.arrivals: Arrivals | None = None
        self._limit = limit
        self._scenario = scenario
        self._rate = rate
        self._costs: ProcessCosts | None = None
        self._earlier = deque[dict[str, Any]](maxlen=EARLIER_RUNS)  # the latest first
        self._display = Display(console.new_console())
        self._judging: gevent.Greenlet | None = None
        self._quitting = False
        self._stopping = False  # the virtual users are being stopped
        self._abandoned = False  # there will be no verdict
        self._failed = False  # a virtual user of this run raised an unexpected exception

    def connect(self) -> None:
        """Listen to Locust's events."""
        events = self.environment.events
        events.test_start.add_listener(self._begin)
        events.test_stopping.add_listener(self._release)
        events.test_stop.add_listener(self._end)
        events.quitting.add_listener(self._quit)
        events.user_error.add_listener(self._fail)

    def prepare(self, scenario: Scenario, rate: float | None) -> None:
        """Make the next runs with this scenario, and at this rate."""
        self._scenario, self._rate = scenario, rate

    @property
    def goes_on(self) -> bool:
        """True from the start of a run to its verdict."""
        under_way = self._runner.state in (STATE_SPAWNING, STATE_RUNNING)
        return under_way or (self.run is not None and self.run.phase != "done")

    @property
    def restarts(self) -> list[dict[str, Any]]:
        """The restarts of services that were seen in the load of the current run, or the last one."""
        return self._costs.restarts if self._costs else []

    def state(self) -> dict[str, Any]:
        """Return the current run, or the last one, and those before it: the JSON that the page shows."""
        return (self.run.state() if self.run else {"phase": None}) | {"earlier": list(self._earlier)}

    @property
    def _runner(self) -> Runner:
        assert self.environment.runner is not None
        return self.environment.runner

    @property
    def _headless(self) -> bool:
        return self.environment.web_ui is None

    def _begin(self, **_: Any) -> None:
        """Before the first virtual user: a new run, its ledger, the sample data."""
        self._end_run_before()
        self.environment.process_exit_code = NO_VERDICT  # until there is one
        try:
            run = Run(self.settings.report_dir, self._limit(), self._scenario, self.settings.report_hint)
        except OSError as error:
            raise StopTest(f"No ledger can be written, so there will be no verdict: {error}.") from None
        self.run = run
        ended = partial(record, run, fire=self.environment.events.request.fire)
        begin_trace = None
        if share := self.settings.traces:
            run.slowest = Slowest(self.settings)
            begin_trace = partial(traceparent, share)
        sender = self.sender = Sender(run.workload, self.settings, ended, begin_trace)
        self._announce(run, f"ledger {run.shown('ledger')}")
        try:
            wait_until_ready(self.settings)
            self._show_sample(sample.insert(sender))
        except (NotReady, sample.SampleFailed, OSError) as error:
            run.flaw(str(error).rstrip("."))
            return
        self._costs = ProcessCosts(self.settings, services=self.costs_of)
        if self._rate:
            self.arrivals = sender.arrivals = Arrivals(self._rate)
        run.sample_writes = sum(tally.attempted for tally in run.tallies().values())
        run.load_began = time.monotonic()
        run.phase = "load"

    def _end_run_before(self) -> None:
        """Wait for the audit of the run before, and put that run among the earlier ones."""
        # Locust sets this state when the first user is there; until then a stop would be ignored.
        self._runner.update_state(STATE_SPAWNING)
        if self._judging:
            self._judging.join()  # the load must not share the processor with an audit
        if self.run:
            self._earlier.appendleft(self.run.outcome())
        if self.run and self.run.slowest is not None:
            self.run.slowest.close()
        self._costs = self.arrivals = None
        self._failed = False

    def _announce(self, run: RunState, more: str) -> None:
        """Print that a run begins, and show it from now on."""
        run.settings = self._settings(run)
        load = f"{self._scenario.name}, " + (f"open load of {self._rate:g} requests/s" if self._rate else "closed load")
        limit = "any number of writes" if run.budget.limit is None else f"{run.budget.limit:,} writes"
        self._display.say(f"Run {run.mark}: {load}, {limit}, {more}")
        self._follow(run)
        gevent.spawn(self._stop_when_exhausted, run)

    def _follow(self, run: RunState) -> None:
        self._display.follow(run, self.environment.stats)

    def _fail(self, **_: Any) -> None:
        self._failed = True

    def _release(self, **_: Any) -> None:
        """Release the virtual users that wait for their next scheduled request: they are being stopped."""
        self._stopping = True
        if self.arrivals:
            self.arrivals.stopped.set()

    def _stop_when_exhausted(self, run: RunState) -> None:
        run.budget.exhausted.wait()
        if run is self.run and run.load_ended is None:
            if self._headless:
                self._runner.quit()
            else:
                self._runner.stop()

    def _end(self, **_: Any) -> None:
        """After the last virtual user: settle and judge; without a page, wait for it."""
        self._stopping = False
        run, sender = self.run, self.sender
        if not isinstance(run, Run) or sender is None or run.load_ended is not None or self._abandoned:
            return
        run.load_ended = time.monotonic()
        run.measurements.timeline.close()
        if self._costs:
            self._costs.load_ended()
        run.budget.exhausted.set()  # end the greenlet that waits for it
        if self._failed:
            run.flaw("the load generator itself failed, see its log")
        measured = measure(run)
        if self.arrivals:
            measured = replace(measured, rate=self.arrivals.rate, late_ms=self.arrivals.latest * 1000)
        self._judging = gevent.spawn(self._judge, run, partial(audit_run, run, sender, measured, self._costs))
        if self._headless:
            self._judging.join()

    def _quit(self, **_: Any) -> None:
        """Before the process exits: end the run, and make its verdict the exit status."""
        if self._quitting and self._judging and not self._judging.ready():
            self._abandon("Asked to stop again: no verdict.")
            return
        self._quitting = True
        try:
            with gevent.Timeout(LONGEST_STOP_S, False):
                while self._stopping:  # another greenlet stops the virtual users, and then begins to judge
                    gevent.sleep(LOOK_S)
            if self._runner.state not in (STATE_INIT, STATE_STOPPED, STATE_CLEANUP):
                self._display.say("Stopping. The writes so far will be audited.")
                self._runner.stop()
            if self._judging:
                self._judging.join()
        except KeyboardInterrupt:
            self._abandon("Interrupted again: no verdict.")

    def _abandon(self, reason: str) -> None:
        self._abandoned = True
        self._display.close()
        self._display.say(reason)
        self.environment.process_exit_code = NO_VERDICT

    def _judge(self, run: RunState, work: Callable[[], Outcome]) -> None:
        """Let `work` find the verdict, and report it; the verdict is the last line."""
        try:
            outcome = work()
            run.report, run.verdict = outcome.content, outcome.report.verdict
            self._display.close()
            self._show_report(outcome)
            self._write_report(run, outcome)
            console.show_verdict(outcome.report, self._display.console)
        except Exception:  # whatever it is: without an audit there is no verdict, and the page must live
            traceback.print_exc()
            run.verdict = NO_VERDICT
            self._display.say("NO VERDICT: the audit itself failed.")
        finally:
            self.environment.process_exit_code = NO_VERDICT if run.verdict is None else run.verdict
            run.phase = "done"
            run.done.set()

    def _write_report(self, run: RunState, outcome: Outcome) -> None:
        try:
            json_report.write(outcome.content, run.file("report"))
            html.write(outcome.content, run.file("html"))
            if self.settings.report_copy:
                self._display.say(f"Copy the reports out of the container: {self.settings.report_copy}")
            self._display.say(f"Report: {run.shown('html')}\nAs JSON: {run.shown('report')}")
        except Exception as error:  # whatever it is, the verdict stands
            self._display.say(f"The report could not be written: {error}.")

    def _show_sample(self, ops: Sequence[Op]) -> None:
        console.show_sample(map(sample.describe, ops), self._display.console)

    def _show_report(self, outcome: Outcome) -> None:
        console.show(outcome.report, outcome.measured, self._display.console, outcome.content["costs"])

    def _settings(self, run: RunState) -> dict[str, Any]:
        """Return the settings that the run is made with; the page may have other options by the time it ends."""
        options = self.environment.parsed_options
        return {
            "scenario": self._scenario.name,
            "users": getattr(options, "num_users", None),
            "spawn_rate": getattr(options, "spawn_rate", None),
            "writes": run.budget.limit,
            "run_time": getattr(options, "run_time", None),
            "rate": self._rate,
            "title": getattr(options, "title", None) or None,
            "question": getattr(options, "question", None) or None,
        } | {f"{name}_url": url for name, url in self.settings.urls.items()}
