"""The page's tab Audit: our addition to Locust's web UI, through the hooks that it has for that."""
# mypy: allow-untyped-calls, allow-untyped-decorators

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, abort, request, send_file
from locust.web import WebUI

from .markup import TEMPLATES, audit_page
from .run import FILES, file_of

TAB = {"title": "Audit", "key": "audit"}
MARK = re.compile("[a-z0-9]+")
SCRIPT = b'<script src="./audit/tab.js" defer></script>'


def add_tab(web_ui: WebUI, base: str, directory: Path, state: Callable[[], dict[str, Any]]) -> None:
    """Add the tab, its page at /audit, what that polls at /audit/state, and the files in `directory`.

    Args:
        web_ui: Locust's.
        base: the path under which Locust serves its page; empty, or with a slash at its start and none at its end.
        directory: where runs leave their files.
        state: what the page shows.
    """
    assert web_ui.app is not None
    page = Blueprint("audit", __name__, url_prefix=f"{base}/audit")
    guarded = web_ui.auth_required_if_enabled
    html = audit_page()
    script = (TEMPLATES / "tab.js").read_text(encoding="utf-8")

    @page.route("")
    @guarded
    def show() -> str:
        return html

    @page.route("/tab.js")
    @guarded
    def tab() -> Response:
        return Response(script, mimetype="text/javascript")

    @page.route("/state")
    @guarded
    def poll() -> Response:
        return Response(json.dumps(state()), mimetype="application/json")  # in the order in which it is shown

    @page.route("/<run>/<kind>")
    @guarded
    def download(run: str, kind: str) -> Response:
        if not MARK.fullmatch(run) or kind not in FILES or not (path := file_of(directory, run, kind)).is_file():
            abort(404)
        return send_file(path.absolute(), as_attachment=kind != "html", download_name=path.name, max_age=0)

    @web_ui.app.after_request
    def extend(response: Response) -> Response:
        if request.endpoint == "locust.index" and response.status_code == 200 and not response.direct_passthrough:
            response.set_data(response.get_data().replace(b"</body>", SCRIPT + b"</body>"))
        return response

    web_ui.app.register_blueprint(page)
    web_ui.template_args["extended_tabs"] = [TAB]
    web_ui.template_args["extended_csv_files"] = [{"href": "./audit", "title": "Audit: verdict, reports and ledgers"}]
