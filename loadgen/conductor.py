"""A run from its first line to its verdict, led along by Locust's events."""
# mypy: allow-untyped-calls

import sys
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

import gevent
from locust.env import Environment
from locust.exception import StopTest
from locust.runners import STATE_CLEANUP, STATE_INIT, STATE_SPAWNING, STATE_STOPPED, Runner
from rich.live import Live

from . import live, readback, report, report_page, sample
from .arrivals import Arrivals
from .audit import INVARIANTS, JUDGED, UNDECIDED, Report, audit
from .client import Client, Http
from .gauges import Gauges
from .ledger import Op, read
from .page import add_tab
from .report import Latency, Measured
from .run import Run, RunState
from .scenario import Scenario
from .settings import SERVICES, Settings
from .settle import settle

PROGRESS_EVERY_S = 5.0
VIEW_EVERY_S = 0.5
READY_PAUSE_S = 0.25
EARLIER_RUNS = 20  # that the page still lists
Json = dict[str, Any]


def cannot_start(reason: str) -> NoReturn:
    """Say why, and exit without a verdict."""
    print(f"loadgen: {reason}", file=sys.stderr, flush=True)
    sys.exit(UNDECIDED)


class NotReady(Exception):
    """A service is not ready; the message says which, and what to do."""


def wait_until_ready(settings: Settings) -> None:
    """Wait until every service's /readyz answers 200.

    Raises:
        NotReady: one still does not after `settings.ready_timeout` seconds.
    """
    deadline = time.monotonic() + settings.ready_timeout
    for service in SERVICES:
        url = settings.urls[service]
        http = Http(url, settings.token)
        while (trouble := _trouble(http)) is not None:
            if time.monotonic() + READY_PAUSE_S > deadline:
                raise NotReady(
                    f"The {service} service at {url} is not ready after {settings.ready_timeout:g} s ({trouble}): "
                    f"start it, or correct {service.upper()}_URL."
                )
            gevent.sleep(READY_PAUSE_S)
        http.close()


def _trouble(http: Http) -> str | None:
    """Why a service is not ready; None: it is."""
    try:
        status, _, _ = http.request("GET", "/readyz")
    except Exception as error:  # no answer, of any sort
        return str(error) or type(error).__name__
    return None if status == 200 else f"/readyz answers {status}"


def steps(run: Run) -> Callable[[str, int], None]:
    """What the audit of `run` tells its steps to."""
    totals = {
        "loading the ledger": run.ledger.lines,
        "loading the rows": run.audited,
        "indexing": len(JUDGED),
        "judging the invariants": len(INVARIANTS),
    }
    return lambda step, done: run.progress.at(step, done, totals[step])


class Conductor:
    """Begins, ends and judges runs as Locust starts and stops its users; one run at a time."""

    costs_of: Sequence[str] = SERVICES  # whose processes are looked at during the load

    def __init__(
        self,
        environment: Environment,
        settings: Settings,
        scenario: Scenario,
        budget: Callable[[], int | None],
        rate: float | None = None,
    ) -> None:
        """`budget` says how many writes the next run may make; None: no limit. `rate` makes the load an open one."""
        self.environment = environment
        self.settings = settings
        self.run: RunState | None = None
        self.client: Client | None = None
        self._gauges: Gauges | None = None
        self._earlier = deque[dict[str, Any]](maxlen=EARLIER_RUNS)  # the latest first
        self._console = report.new_console()
        self._budget = budget
        self._scenario = scenario
        self._rate = rate
        self.arrivals: Arrivals | None = None
        self._judging: gevent.Greenlet | None = None
        self._quitting = False
        self._failed = False  # a shopper of this run raised what nobody expected
        self._view: gevent.Greenlet | None = None  # what shows the progress

    def connect(self) -> None:
        """Listen to Locust's events, and add our tab to its page."""
        events = self.environment.events
        events.test_start.add_listener(self._begin)
        events.test_stopping.add_listener(self._release)
        events.test_stop.add_listener(self._end)
        events.quitting.add_listener(self._quit)
        events.user_error.add_listener(self._fail)
        if web_ui := self.environment.web_ui:
            base = getattr(self.environment.parsed_options, "web_base_path", "")
            add_tab(web_ui, base, self.settings.report_dir, self._state)

    @property
    def _runner(self) -> Runner:
        assert self.environment.runner is not None
        return self.environment.runner

    @property
    def _headless(self) -> bool:
        return self.environment.web_ui is None

    @property
    def _stats(self) -> Any:
        """Locust's statistics of this run."""
        return self.environment.stats

    def _begin(self, **_: Any) -> None:
        """Before the first shopper: a new run, its ledger, the sample data."""
        self._clear_the_way()
        try:
            run = self.run = Run(self.settings.report_dir, self._scenario.actions, self._budget(), self._scenario)
        except OSError as error:
            raise StopTest(f"No ledger can be written, so there will be no verdict: {error}.") from None
        client = self.client = Client(run, self.settings, self.environment.events.request.fire)
        self._announce(run, f"ledger {run.ledger.path}")
        try:
            wait_until_ready(self.settings)
            self._show_sample(sample.insert(client))
        except (NotReady, sample.SampleFailed, OSError) as error:
            run.flaw(str(error).rstrip("."))
            return
        self._gauges = Gauges(self.settings, services=self.costs_of)
        if self._rate:
            self.arrivals = client.arrivals = Arrivals(self._rate)
        run.load_began = time.monotonic()
        run.phase = "load"

    def _clear_the_way(self) -> None:
        """Wait for the audit of the run before, and put that run among the earlier ones."""
        # Locust sets this state when the first user is there; until then a stop would be ignored.
        self._runner.update_state(STATE_SPAWNING)
        if self._judging:
            self._judging.join()  # what is measured must not share the processor with an audit
        if self.run:
            self._earlier.appendleft(self.run.outcome())
        self._gauges = self.arrivals = None
        self._failed = False

    def _announce(self, run: RunState, more: str) -> None:
        """Say that a run begins, and show it from now on."""
        run.settings = self._settings(run)
        load = f"{self._scenario.name}, " + (f"{self._rate:g} requests/s due" if self._rate else "closed load")
        limit = "without a limit of writes" if run.budget is None else f"{run.budget:,} writes"
        self._say(f"Run {run.mark}: {load}, {limit}, {more}")
        drawn = self._console.is_terminal and not self._console.is_dumb_terminal
        self._view = gevent.spawn(self._show_view if drawn else self._show_progress, run)
        gevent.spawn(self._stop_when_exhausted, run)

    def _fail(self, **_: Any) -> None:
        self._failed = True

    def _release(self, **_: Any) -> None:
        """Let go of the shoppers that wait for their next request to be due."""
        if self.arrivals:
            self.arrivals.stopped.set()

    def _stop_when_exhausted(self, run: RunState) -> None:
        run.exhausted.wait()
        if run is self.run and run.load_ended is None:
            if self._headless:
                self._runner.quit()
            else:
                self._runner.stop()

    def _end(self, **_: Any) -> None:
        """After the last shopper: settle and judge; without a page, wait for it."""
        client = self.client
        if client is None or client.run.load_ended is not None:
            return
        run = client.run
        run.load_ended = time.monotonic()
        run.timeline.close()
        if self._gauges:
            self._gauges.load_ended()
        run.exhausted.set()  # nobody need wait for that any more
        if self._failed:
            run.flaw("the load generator itself failed, see its log")
        work = partial(self._audit, client, self._measured(run), self._gauges)
        self._judging = gevent.spawn(self._judge, run, work)
        if self._headless:
            self._judging.join()

    def _quit(self, **_: Any) -> None:
        """The process is about to exit: end the run, and let its verdict be the exit status."""
        if self._quitting and self._judging and not self._judging.ready():
            self._hide()
            self._say("Asked to stop again: no verdict.")
            self.environment.process_exit_code = UNDECIDED
            return
        self._quitting = True
        try:
            if self._runner.state not in (STATE_INIT, STATE_STOPPED, STATE_CLEANUP):
                self._say("Stopping; the audit of what was done follows.")
                self._runner.stop()
            if self._judging:
                self._judging.join()
        except KeyboardInterrupt:
            self._hide()
            self._say("Interrupted again: no verdict.")
            self.environment.process_exit_code = UNDECIDED

    def _measured(self, run: RunState) -> Measured:
        """What Locust's statistics say of the load."""
        stats = self._stats
        entries = sorted(stats.entries.values(), key=lambda entry: (entry.name, entry.method))
        latencies = [
            Latency(
                entry.name,
                entry.method,
                entry.num_requests,
                entry.num_failures,
                p50=float(entry.get_response_time_percentile(0.50)),
                p95=float(entry.get_response_time_percentile(0.95)),
                p99=float(entry.get_response_time_percentile(0.99)),
                max=float(entry.max_response_time),
            )
            for entry in entries
        ]
        failures = Counter[str]()
        for error in stats.errors.values():
            failures[str(error.error)] += error.occurrences
        measured = Measured(run.load_seconds(), run.taken, stats.total.num_requests, latencies, failures.most_common())
        if self.arrivals:
            measured = replace(measured, rate=self.arrivals.rate, late_ms=self.arrivals.latest * 1000)
        return measured

    def _audit(self, client: Client, measured: Measured, gauges: Gauges | None) -> tuple[Report, Measured, Json]:
        """Settle, read back, audit; what was found, what was measured, and both as the JSON report."""
        run = client.run
        try:
            run.phase = "settle"
            settle(client)
            run.ledger.close()
            run.phase = "audit"
            began = time.monotonic()
            run.progress.at("reading back")
            rows = run.directory / f"readback-{run.mark}.jsonl"
            try:
                readback.read_back(run, client.http, rows)
                found = readback.rows(rows)
            except (readback.ReadBackFailed, OSError) as error:
                run.flaw(f"reading back failed: {error}")
                found = None
            # In a thread of its own: queries over a million rows must not hold up the page.
            judged = gevent.get_hub().threadpool.apply(
                audit, (read(run.ledger.path), found, tuple(run.flaws), run.directory, steps(run))
            )
            audited = time.monotonic()
            times = {"started_at": run.started_at.isoformat(timespec="milliseconds")}
            content = report.as_json(judged, measured, times | {"ledger": str(run.ledger.path), "read_back": str(rows)})
            content |= {
                "settings": run.settings,
                "costs": gauges.as_json(run.requests, run.load_seconds()) if gauges else [],
                "restarts": gauges.restarts if gauges else [],
                "outages": run.timeline.outages_as_json(),
                "audit": {"seconds": round(audited - began, 1), "rows_read_back": run.audited},
                "timeline": run.timeline.as_json(),
            }
            return judged, measured, content
        finally:
            client.close()

    def _judge(self, run: RunState, work: Callable[[], tuple[Report, Measured, Json]]) -> None:
        """Let `work` find the verdict, and report it."""
        try:
            judged, measured, content = work()
            run.report, run.verdict = content, judged.verdict
            self._show_report(judged, measured, content)
            try:
                report.write(content, run.file("report"))
                report_page.write(content, run.file("html"))
                self._say(f"Report to look at: {run.file('html')}")
                self._say(f"Report: {run.file('report')}")
            except Exception as error:  # whatever it is, the verdict stands
                self._say(f"The report could not be written: {error}.")
        except Exception:  # whatever it is: without an audit there is no verdict, and the page must live
            traceback.print_exc()
            run.verdict = UNDECIDED
            self._say("NO VERDICT: the audit itself failed.")
        finally:
            self.environment.process_exit_code = UNDECIDED if run.verdict is None else run.verdict
            run.phase = "done"
            run.done.set()
            if self._view:
                self._view.join(timeout=2 * VIEW_EVERY_S)

    def _show_sample(self, ops: Sequence[Op]) -> None:
        sample.show(ops, self._console)

    def _show_report(self, judged: Report, measured: Measured, content: Json) -> None:
        report.show(judged, measured, self._console, content["costs"])

    def _settings(self, run: RunState) -> dict[str, Any]:
        """With what the run is made; the page may have other options by the time it ends."""
        options = self.environment.parsed_options
        return {
            "scenario": self._scenario.name,
            "users": getattr(options, "num_users", None),
            "spawn_rate": getattr(options, "spawn_rate", None),
            "writes": run.budget,
            "run_time": getattr(options, "run_time", None),
        } | {f"{name}_url": url for name, url in self.settings.urls.items()}

    def _show_view(self, run: RunState) -> None:
        """On a terminal: a view of the run in its last lines, until the run is done."""
        before, now = 0, 0.0
        with Live(console=self._console, auto_refresh=False, transient=True) as shown:
            while not run.done.wait(timeout=VIEW_EVERY_S):
                now, before = 0.7 * now + 0.3 * (run.taken - before) / VIEW_EVERY_S, run.taken
                shown.update(live.view(run, self.environment.stats, now), refresh=True)

    def _hide(self) -> None:
        """Give the terminal back as it was."""
        if self._view:
            self._view.kill()

    def _show_progress(self, run: RunState) -> None:
        """A line every few seconds until the run is done."""
        before = 0
        while not run.done.wait(timeout=PROGRESS_EVERY_S):
            attempted = sum(tally.attempted for tally in run.tallies.values())
            acknowledged = sum(tally.acknowledged for tally in run.tallies.values())
            refused = sum(tally.refused for tally in run.tallies.values())
            line = f"{run.phase:<7}"
            if run.phase == "load":
                of = "" if run.budget is None else f" of {run.budget:,}"
                line += f"{run.taken:>9,}{of} writes, {(run.taken - before) / PROGRESS_EVERY_S:,.0f}/s"
                before = run.taken
            elif run.phase == "audit":
                line += f"{run.progress.line():>9}"
            unknown = attempted - acknowledged - refused
            self._say(f"{line}; acknowledged {acknowledged:,}, refused {refused:,}, unknown {unknown:,}")

    def _state(self) -> dict[str, Any]:
        """The last run, or the one that goes on, and those before it: what the page shows."""
        return (self.run.state() if self.run else {"phase": None}) | {"earlier": list(self._earlier)}

    def _say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)
        sys.stdout.flush()
