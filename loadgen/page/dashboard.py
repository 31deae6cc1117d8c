"""The dashboard at `/`: the page, the JSON that it shows, and the two requests that start and stop a run.

Locust's own page is at /locust. A run is started and stopped through its functions, so both pages show one run.
"""
# mypy: allow-untyped-calls, allow-untyped-decorators

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, abort, current_app, request, send_file
from locust.runners import MasterRunner
from locust.web import WebUI

from ..audit.causes import CAUSES
from ..audit.invariants import INVARIANTS
from ..options import DEFAULT_WRITES, LOCUST_PATH, NO_LIMIT
from ..report.markup import render_page, style
from ..run.lifecycle import Lifecycle
from ..run.state import FILES, RunState, file_of
from ..traffic.scenario import Scenario, shipped
from .archive import Archive
from .breaking import Breaking
from .starting import BadForm, parse
from .system import System

FOLDER = Path(__file__).with_name("templates")
ASSETS = {
    **dict.fromkeys(
        ("main.js", "dom.js", "system.js", "chart.js", "run.js", "runs.js", "traces.js"), "text/javascript"
    ),
    "dashboard.css": "text/css",
}
MARK = re.compile("[a-z0-9]+")
MOST_FAILURES = 5  # that the page shows
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'"
)


def add_dashboard(web_ui: WebUI, lifecycle: Lifecycle, follow: Callable[[Scenario, float | None], None]) -> None:
    """Add the dashboard to Locust's application, below the base path that the user gave.

    `follow` makes the virtual users act as a scenario says, at a rate or as fast as they are answered.
    """
    app, environment = web_ui.app, lifecycle.environment
    assert app is not None
    options: Any = environment.parsed_options
    base = options.web_base_path.removesuffix(LOCUST_PATH)
    directory = lifecycle.settings.report_dir
    archive = Archive(directory)
    breaking = Breaking(lifecycle.settings)
    system = System(lifecycle.settings, lambda: count(lifecycle.run))
    own_scenario = options.scenario
    page = Blueprint("dashboard", __name__, url_prefix=base or None)
    guarded = web_ui.auth_required_if_enabled
    served = {name: (FOLDER / name).read_text(encoding="utf-8") for name in ASSETS}
    served["dashboard.css"] = style() + served["dashboard.css"]
    scenarios = list(dict.fromkeys((*shipped(), own_scenario)))

    @page.route("/")
    @guarded
    def show() -> Response:
        shown = {"scenarios": scenarios, "explained": explained(), "form": form(options), "breaking": breaking}
        html = render_page(FOLDER / "dashboard.html", **shown)
        return Response(html, headers={"Content-Security-Policy": POLICY, "Cache-Control": "no-store"})

    @page.route("/page/<name>")
    @guarded
    def asset(name: str) -> Response:
        if name not in served:
            abort(404)
        return Response(served[name], mimetype=ASSETS[name], headers={"Cache-Control": "no-cache"})

    @page.route("/state")
    @guarded
    def state() -> Response:
        """Answer when there are newer readings than those numbered `seen`, at least every two seconds."""
        system.wait(request.args.get("seen", -1, type=int))
        return as_json({
            "tick": system.tick,
            "busy": lifecycle.goes_on,
            "run": run_as_json(lifecycle),
            "system": system.as_json() | {"users": environment.runner.user_count if environment.runner else 0},
            "runs": archive.version(),
        })  # fmt: skip

    @page.route("/audit/state")
    @guarded
    def audit() -> Response:
        """Answer the current run, or the last one, with its whole report, at once: for scripts."""
        return as_json(lifecycle.state())

    @page.route("/timeline")
    @guarded
    def timeline() -> Response:
        """Answer the seconds of the current run, or the last one, from number `since` on."""
        run = lifecycle.run
        since = max(0, request.args.get("since", 0, type=int))
        if run is None or run.mark != request.args.get("run"):
            abort(404)
        figures = run.timeline(since) | {"restarts": lifecycle.restarts}
        return as_json({"run": run.mark, "since": since, "seconds": round(run.load_seconds(), 2)} | figures)

    @page.route("/traces")
    @guarded
    def traces() -> Response:
        """Answer the slowest traced requests of the current run, or the last one, each with its waterfall."""
        return as_json(lifecycle.run.traces()[1] if lifecycle.run else [])

    @page.route("/runs")
    @guarded
    def runs() -> Response:
        return as_json(archive.runs())

    @page.route("/audit/<run>/<kind>")
    @guarded
    def file(run: str, kind: str) -> Response:
        if not MARK.fullmatch(run) or kind not in FILES or not (path := file_of(directory, run, kind)).is_file():
            abort(404)
        return send_file(path.absolute(), as_attachment=kind != "html", download_name=path.name, max_age=0)

    @page.route("/start", methods=["POST"])
    @guarded
    def start() -> Response:
        if lifecycle.goes_on:
            return refusal(409, "A run goes on. Stop it, or wait for its verdict.")
        if isinstance(runner := web_ui.environment.runner, MasterRunner) and not runner.worker_count:
            return refusal(409, "No run was started: no worker is there.")
        try:
            asked = parse(request.form, own_scenario)
        except BadForm as error:
            return refusal(400, f"No run was started: {error}.")
        options.scenario, options.num_users, options.spawn_rate = asked.scenario.name, asked.users, asked.users
        options.rate, options.run_time = asked.rate, asked.run_time
        options.writes = NO_LIMIT if asked.writes is None else str(asked.writes)
        lifecycle.prepare(asked.scenario, asked.rate)
        follow(asked.scenario, asked.rate)
        # Locust's form, so that its page shows the same run, and its timer ends it.
        told = {"user_count": str(asked.users), "spawn_rate": str(asked.users), "run_time": str(asked.run_time or "")}
        cookies = {"Cookie": request.headers.get("Cookie", "")}  # of a login to Locust
        with current_app.test_request_context(f"{base}{LOCUST_PATH}/swarm", method="POST", data=told, headers=cookies):
            swarm: Any = current_app.view_functions["locust.swarm"]
            answer = swarm().get_json()
        return as_json({"started": True}) if answer["success"] else refusal(400, answer["message"])

    @page.route("/stop", methods=["POST"])
    @guarded
    def stop() -> Response:
        current_app.view_functions["locust.stop"]()
        return as_json({"stopped": True})

    @page.route("/break", methods=["POST"])
    @guarded
    def strike() -> Response:
        status, said = breaking.strike(request.form.get("service", ""), request.form.get("fault", ""))
        return as_json(said, status)

    app.register_blueprint(page)
    web_ui.template_args["extended_csv_files"] = [{"href": "../", "title": "Threefold: the dashboard and the verdict"}]


def as_json(value: Any, status: int = 200) -> Response:
    """Return an answer whose members keep their order."""
    return Response(json.dumps(value), status, {"Cache-Control": "no-store"}, mimetype="application/json")


def refusal(status: int, why: str) -> Response:
    """Return an answer that says why nothing was done."""
    return as_json({"error": why}, status)


def explained() -> list[dict[str, str]]:
    """Return the invariants in words: the name, what a violation means, and what would cause one."""
    return [{"name": each.name, "meaning": each.meaning, "cause": CAUSES.get(each.name, "")} for each in INVARIANTS]


def form(options: Any) -> dict[str, Any]:
    """Return the values of the options, with which the next run would be made."""
    writes = str(options.writes or "")
    default = "" if options.run_time else str(DEFAULT_WRITES)
    return {
        "scenario": options.scenario,
        "users": options.num_users,
        "writes": "" if writes == NO_LIMIT else writes or default,
        "rate": options.rate or "",
        "run_time": options.run_time or "",
    }


def count(run: RunState | None) -> tuple[str | None, int]:
    """Return the mark of a run, and the writes that its load has attempted."""
    return (None, 0) if run is None else (run.mark, run.budget.taken)


def run_as_json(lifecycle: Lifecycle) -> dict[str, Any] | None:
    """Return the current run, or the last one, without what only its report shows; None: there was none."""
    run = lifecycle.run
    if run is None:
        return None
    state = run.state()
    if state["report"]:
        state["report"] = {name: value for name, value in state["report"].items() if name != "timeline"}
    share, left = progress(run)
    failures = [{"what": what, "times": times} for what, times in run.measurements.failures()[:MOST_FAILURES]]
    return state | {
        "traces": run.traces()[0],
        "settings": run.settings,
        "share": share,
        "seconds_left": left,
        "failures": failures,
    }


def progress(run: RunState) -> tuple[float | None, float | None]:
    """Return the share of the current phase that is done, and the estimated seconds until its end; None: unknown."""
    if run.phase == "audit" and (audit := run.progress.state()):
        return audit["share"], audit["seconds_left"]
    if run.phase != "load":
        return None, None
    seconds, taken, limit = run.load_seconds(), run.budget.taken, run.budget.limit
    done = []
    if run_time := run.settings["run_time"]:
        done.append((seconds / run_time, run_time - seconds))
    if limit and taken:
        done.append((taken / limit, seconds / taken * (limit - taken)))
    if not done:
        return None, None
    share, left = max(done)
    return round(min(share, 1.0), 3), round(max(left, 0.0), 1)
