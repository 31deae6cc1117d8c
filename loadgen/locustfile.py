"""The wiring: Locust's events on one side, the conductor and the shoppers on the other."""
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

from loadgen.audit import UNDECIDED
from loadgen.conductor import Conductor, NotReady, cannot_start, wait_until_ready
from loadgen.distributed import Master, Worker
from loadgen.guard import is_loopback, protect
from loadgen.options import DEFAULT_WRITES, budget
from loadgen.scenario import BadScenario, Scenario, load
from loadgen.settings import BadSetting, Settings
from loadgen.traffic import KINDS, OutOfWrites, Shopper

IDLE_S = 0.1  # a shopper with nothing left to do waits to be stopped; Locust complains of those that left


@events.init.add_listener
def set_up(environment: Environment, **_: Any) -> None:
    """Read the settings, wait for the services, connect the conductor. Exits with status 2 where that fails."""
    options = environment.parsed_options
    assert options is not None
    works = isinstance(environment.runner, WorkerRunner)
    try:
        settings = Settings.from_env()
        if environment.web_ui is not None:
            admit(environment.web_ui, settings, options.web_host)
        if not works:  # a worker is told its scenario
            scenario = load(options.scenario, KINDS)
    except (BadSetting, BadScenario) as error:
        cannot_start(str(error))
    if environment.web_ui is None:
        environment.process_exit_code = UNDECIDED  # until there is a verdict
    if not options.print_stats:
        logging.getLogger("locust.stats_logger").setLevel(logging.WARNING)  # the report has these tables
    os.environ.setdefault("SQLITE_TMPDIR", str(settings.report_dir))  # /tmp may be memory
    # Python raises KeyboardInterrupt wherever it is, in the middle of a line of the ledger too; this waits its turn.
    gevent.signal_handler(signal.SIGINT, interrupt)
    if works:
        Visitor.conductor = Worker(environment, settings, follow)
        Visitor.conductor.connect()
        return
    default = None if options.run_time else DEFAULT_WRITES
    options.writes = str(options.writes or "")  # Locust gives what the page's field holds the type of this
    follow(scenario, options.rate)
    leads = isinstance(environment.runner, MasterRunner)
    conductor = Visitor.conductor = (Master if leads else Conductor)(
        environment, settings, scenario, lambda: budget(options.writes, default), options.rate
    )
    conductor.connect()
    try:
        wait_until_ready(settings)  # connected before: who waits must not miss what it is told
    except NotReady as error:
        cannot_start(str(error))
    if environment.web_ui is not None:
        print(f"Page: http://{options.web_host or 'localhost'}:{options.web_port}{options.web_base_path}", flush=True)
    if isinstance(conductor, Master):
        print(f"Waiting for workers on port {options.master_bind_port}", flush=True)
        if options.headless or options.autostart:
            conductor.await_workers()


def follow(scenario: Scenario, rate: float | None) -> None:
    """Let the shoppers do what a scenario says; in an open load the rate says when."""
    Visitor.tasks = [task_of(KINDS[kind]) for kind, weight in scenario.actions.items() for _ in range(weight)]
    thinks = scenario.think_time[1] and not rate
    Visitor.wait_time = between(*scenario.think_time) if thinks else constant(0)


def admit(web_ui: WebUI, settings: Settings, host: str) -> None:
    """Let the page, which listens at `host`, answer only whom it should. Raises BadSetting."""
    published = os.environ.get("BIND_ADDRESS", "")
    inside = published and host == os.environ.get("LISTEN_ADDRESS")  # a container: reached where it is published only
    addresses = [published] if inside else [published or host, host]
    reachable = [address or "*" for address in addresses if not is_loopback(address)]
    if reachable and not settings.tokens:
        raise BadSetting(
            f"The page would be at {reachable[0]!r}, where others can reach it, and ask for no token: set API_TOKEN"
            " or API_TOKEN_FILE, or leave BIND_ADDRESS (--web-host) at 127.0.0.1."
        )
    assert web_ui.app is not None
    protect(web_ui.app, settings.tokens)


def interrupt() -> None:
    """Let the main greenlet end as Ctrl-C ends it."""
    conductor = getattr(Visitor, "conductor", None)
    if isinstance(conductor, Master) and conductor.waits:
        conductor.give_up("Interrupted before the workers were there: no verdict.")
    gevent.get_hub().handle_system_error(KeyboardInterrupt, KeyboardInterrupt())


def task_of(kind: Callable[[Shopper], Any]) -> Callable[["Visitor"], None]:
    """A kind of action as a Locust task; while there is a kind that nobody has begun yet, that one instead."""

    @functools.wraps(kind)
    def task(user: "Visitor") -> None:
        if user.shopper is None or user.shopper.run.phase != "load":
            gevent.sleep(IDLE_S)
            return
        run = user.shopper.run
        if arrivals := user.conductor.arrivals:
            user.shopper.due = arrivals.wait()
            if user.shopper.due is None:
                return
        first = run.deal()
        try:
            (KINDS[first] if first else kind)(user.shopper)
        except (OutOfWrites, OSError):  # OSError: the ledger; the run has noted it and stops
            gevent.sleep(IDLE_S)

    return task


class Visitor(User):
    """A Locust user that acts as a shopper."""

    conductor: Conductor
    tasks = [task_of(kind) for kind in KINDS.values()]  # noqa: RUF012 - Locust's way; the scenario's take their place
    host = "three services"  # not one: where they are, the settings say

    def on_start(self) -> None:
        client = self.conductor.client
        self.shopper = Shopper(client) if client else None  # None: a worker that came after the run was planned
