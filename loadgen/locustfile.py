"""The wiring: Locust's events, the lifecycle of a run, the virtual users and the page."""
# mypy: allow-untyped-calls, allow-untyped-decorators

import functools
import logging
import os
import signal
from collections.abc import Callable
from typing import Any

import gevent
from locust import User, between, constant, events
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner
from locust.web import WebUI

from loadgen.audit.judge import NO_VERDICT
from loadgen.options import DEFAULT_WRITES, LOCUST_PATH, write_limit
from loadgen.page.dashboard import add_dashboard
from loadgen.page.page_access import page_url, protect, reachable_address
from loadgen.run.lifecycle import Lifecycle
from loadgen.run.master import Master
from loadgen.run.readiness import NotReady, cannot_start, wait_until_ready
from loadgen.run.worker import Worker
from loadgen.settings import BadSetting, Settings
from loadgen.traffic.actions import KINDS
from loadgen.traffic.scenario import BadScenario, Scenario, load
from loadgen.traffic.virtual_user import OutOfWrites, VirtualUser

IDLE_S = 0.1  # a virtual user with nothing left to do waits to be stopped; Locust complains about those that ended


@events.init.add_listener
def set_up(environment: Environment, **_: Any) -> None:
    """Read the settings, wait for the services, connect the lifecycle. Exits with status 2 where that fails."""
    options = environment.parsed_options
    assert options is not None
    is_worker = isinstance(environment.runner, WorkerRunner)
    try:
        settings = Settings.from_env()
        if environment.web_ui is not None:
            restrict_access(environment.web_ui, settings, options.web_host)
        if not is_worker:  # a worker gets its scenario from the master
            scenario = load(options.scenario, KINDS)
    except (BadSetting, BadScenario) as error:
        cannot_start(str(error))
    if environment.web_ui is None:
        environment.process_exit_code = NO_VERDICT  # until there is one
    if not options.print_stats:
        logging.getLogger("locust.stats_logger").setLevel(logging.WARNING)  # the report has these tables
    os.environ.setdefault("SQLITE_TMPDIR", str(settings.report_dir))  # /tmp may be memory
    # Python's own handler raises KeyboardInterrupt anywhere, even between two halves of a ledger line.
    gevent.signal_handler(signal.SIGINT, interrupt)
    if is_worker:
        LoadUser.lifecycle = Worker(environment, settings, follow)
        LoadUser.lifecycle.connect()
        return
    default = None if options.run_time else DEFAULT_WRITES
    options.writes = str(options.writes or "")  # Locust converts the page's field to the type of this value
    follow(scenario, options.rate)
    lifecycle_class = Master if isinstance(environment.runner, MasterRunner) else Lifecycle
    lifecycle = LoadUser.lifecycle = lifecycle_class(
        environment, settings, scenario, lambda: write_limit(options.writes, default), options.rate
    )
    lifecycle.connect()
    if environment.web_ui is not None:
        add_dashboard(environment.web_ui, lifecycle, follow)
    try:
        wait_until_ready(settings)  # after `connect`, so that no event of Locust is missed while waiting
    except NotReady as error:
        cannot_start(str(error))
    if environment.web_ui is not None:
        base = options.web_base_path.removesuffix(LOCUST_PATH)
        print(f"Page: {page_url(os.environ, options.web_host, options.web_port, base)}", flush=True)
    if isinstance(lifecycle, Master):
        print(f"Waiting for workers on port {options.master_bind_port}", flush=True)
        if options.headless or options.autostart:
            lifecycle.await_workers()


def follow(scenario: Scenario, rate: float | None) -> None:
    """Make the virtual users act as a scenario says; in an open load the rate says when."""
    LoadUser.tasks = [task_of(KINDS[kind]) for kind, weight in scenario.actions.items() for _ in range(weight)]
    thinks = scenario.think_time[1] and not rate
    LoadUser.wait_time = between(*scenario.think_time) if thinks else constant(0)


def restrict_access(web_ui: WebUI, settings: Settings, host: str) -> None:
    """Let the page, which listens at `host`, answer only authorised requests. Raises BadSetting."""
    reachable = reachable_address(os.environ, host)
    if reachable is not None and not settings.tokens:
        raise BadSetting(
            f"The page would be at {reachable!r}, where others can reach it, without asking for a token: set API_TOKEN"
            " or API_TOKEN_FILE, or leave BIND_ADDRESS (--web-host) at 127.0.0.1."
        )
    assert web_ui.app is not None
    protect(web_ui.app, settings.tokens)


def interrupt() -> None:
    """End the main greenlet as Ctrl-C ends it."""
    lifecycle = getattr(LoadUser, "lifecycle", None)
    if isinstance(lifecycle, Master) and lifecycle.waits:
        lifecycle.give_up("Interrupted before the workers were there: no verdict.")
    gevent.get_hub().handle_system_error(KeyboardInterrupt, KeyboardInterrupt())


def task_of(kind: Callable[[VirtualUser], Any]) -> Callable[["LoadUser"], None]:
    """Return a kind of action as a Locust task. As long as a kind has not begun yet, the task does that one instead."""

    @functools.wraps(kind)
    def task(user: "LoadUser") -> None:
        run, virtual_user = user.lifecycle.run, user.virtual_user
        if run is None or virtual_user is None or run.phase != "load":
            gevent.sleep(IDLE_S)
            return
        if arrivals := user.lifecycle.arrivals:
            virtual_user.scheduled = arrivals.wait()
            if virtual_user.scheduled is None:
                return
        unused = virtual_user.workload.unused_kind()
        try:
            (KINDS[unused] if unused else kind)(virtual_user)
        except (OutOfWrites, OSError):  # OSError: the ledger failed; the run has noted it and stops
            gevent.sleep(IDLE_S)

    return task


class LoadUser(User):
    """A Locust user that acts as a virtual user of ours."""

    lifecycle: Lifecycle
    tasks = [task_of(kind) for kind in KINDS.values()]  # noqa: RUF012 - Locust's way; `follow` replaces them
    host = "three services"  # Locust asks for one host; the settings say where the services are

    def on_start(self) -> None:
        sender = self.lifecycle.sender
        self.virtual_user = VirtualUser(sender) if sender else None  # None: a worker that came after the run began
