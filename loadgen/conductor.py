"""A run from its first line to its verdict, led along by Locust's events."""
# mypy: allow-untyped-calls

import sys
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gevent
from locust.env import Environment
from locust.exception import StopTest
from locust.runners import STATE_CLEANUP, STATE_INIT, STATE_SPAWNING, STATE_STOPPED, Runner
from rich.live import Live

from . import live, readback, report, report_page, sample
from .arrivals import Arrivals
from .audit import INVARIANTS, JUDGED, UNDECIDED, audit
from .client import Client, Http
from .gauges import Gauges
from .ledger import read
from .page import add_tab
from .report import Latency, Measured
from .run import Run
from .scenario import Scenario
from .settings import SERVICES, Settings
from .settle import settle

PROGRESS_EVERY_S = 5.0
VIEW_EVERY_S = 0.5
READY_PAUSE_S = 0.25
EARLIER_RUNS = 20  # that the page still lists


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
        self.run: Run | None = None
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
        self._view: gevent.Greenlet | None = None  # what shows the progress

    def connect(self) -> None:
        """Listen to Locust's events, and add our tab to its page."""
        events = self.environment.events
        events.test_start.add_listener(self._begin)
        events.test_stopping.add_listener(self._release)
        events.test_stop.add_listener(self._end)
        events.quitting.add_listener(self._quit)
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

    def _begin(self, **_: Any) -> None:
        """Before the first shopper: a new run, its ledger, the sample data."""
        # Locust sets this state when the first user is there; until then a stop would be ignored.
        self._runner.update_state(STATE_SPAWNING)
        if self._judging:
            self._judging.join()  # what is measured must not share the processor with an audit
        if self.run:
            self._earlier.appendleft(self.run.outcome())
        try:
            run = self.run = Run(self.settings.report_dir, self._scenario.actions, self._budget(), self._scenario)
        except OSError as error:
            raise StopTest(f"No ledger can be written, so there will be no verdict: {error}.") from None
        self._gauges = self.arrivals = None
        client = self.client = Client(run, self.settings, self.environment.events.request.fire)
        run.settings = self._settings(run)
        load = f"{self._scenario.name}, " + (f"{self._rate:g} requests/s due" if self._rate else "closed load")
        limit = "without a limit of writes" if run.budget is None else f"{run.budget:,} writes"
        self._say(f"Run {run.mark}: {load}, {limit}, ledger {run.ledger.path}")
        drawn = self._console.is_terminal and not self._console.is_dumb_terminal
        self._view = gevent.spawn(self._show_view if drawn else self._show_progress, run)
        gevent.spawn(self._stop_when_exhausted, run)
        try:
            wait_until_ready(self.settings)
            sample.show(sample.insert(client), self._console)
        except (NotReady, sample.SampleFailed, OSError) as error:
            run.flaw(str(error).rstrip("."))
            return
        self._gauges = Gauges(self.settings)
        if self._rate:
            self.arrivals = client.arrivals = Arrivals(self._rate)
        run.load_began = time.monotonic()
        run.phase = "load"

    def _release(self, **_: Any) -> None:
        """Let go of the shoppers that wait for their next request to be due."""
        if self.arrivals:
            self.arrivals.stopped.set()

    def _stop_when_exhausted(self, run: Run) -> None:
        run.exhausted.wait()
        if run is self.run and run.load_ended is None:
            if self._headless:
                self._runner.quit()
            else:
                self._runner.stop()

    def _end(self, **_: Any) -> None:
        """After the last shopper: settle and judge; without a page, wait for it."""
        run, client = self.run, self.client
        if run is None or client is None or run.load_ended is not None:
            return
        run.load_ended = time.monotonic()
        run.timeline.close()
        if self._gauges:
            self._gauges.load_ended()
        run.exhausted.set()  # nobody need wait for that any more
        if self._runner.exceptions:
            run.flaw("the load generator itself failed, see its log")
        self._judging = gevent.spawn(self._judge, run, client, self._measured(run), self._gauges)
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

    def _measured(self, run: Run) -> Measured:
        """What Locust's statistics say of the load."""
        stats = self.environment.stats
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

    def _judge(self, run: Run, client: Client, measured: Measured, gauges: Gauges | None) -> None:
        """Settle, read back, audit, report."""
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
            run.report, run.verdict = content, judged.verdict
            report.show(judged, measured, self._console, content["costs"])
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
            client.close()

    def _settings(self, run: Run) -> dict[str, Any]:
        """With what the run is made; the page may have other options by the time it ends."""
        options = self.environment.parsed_options
        return {
            "scenario": self._scenario.name,
            "users": getattr(options, "num_users", None),
            "spawn_rate": getattr(options, "spawn_rate", None),
            "writes": run.budget,
            "run_time": getattr(options, "run_time", None),
        } | {f"{name}_url": url for name, url in self.settings.urls.items()}

    def _show_view(self, run: Run) -> None:
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

    def _show_progress(self, run: Run) -> None:
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
