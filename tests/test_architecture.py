"""Rules of the tree: imports go one way, a room is small, and an image holds one service."""

import ast
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from testbed.services import ROOT

from . import architecture as rules

SERVICES = rules.services()
OWN = {*SERVICES, *rules.PACKAGES, "tests", "tools"}
MAY_IMPORT = {
    "service_common": {"service_common"},
    "loadgen": {"loadgen"},
    "chaos": {"chaos", "loadgen", "testbed"},
    "tools": {"tools"},
    "testbed": {"testbed"},
    "lessons": {"lessons", "testbed", "service_common"},
    **{service: {service, "service_common"} for service in SERVICES},
}
FLOORS = {
    "service_common": [
        ("factory",), ("resource",), ("http",), ("server", "storage"), ("telemetry",), ("settings", "ids", "event_loop"),
    ],
    "loadgen": [
        ("__main__", "locustfile", "again"), ("page",), ("options",), ("run",), ("report",), ("traces",), ("traffic",), ("audit",),
        ("settings",),
    ],
}  # fmt: skip


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_the_packages_below_it(package: str) -> None:
    found = rules.modules(ROOT, package)
    assert found
    for module, file in found.items():
        assert {name.partition(".")[0] for name in rules.imports(ROOT, module, file)} & OWN <= MAY_IMPORT[package], file


@pytest.mark.parametrize("package", FLOORS)
def test_imports_between_rooms_run_down(package: str) -> None:
    assert rules.upward(ROOT, package, FLOORS[package]) == []


def test_nothing_below_http_knows_http() -> None:
    below = ("service_common.server", "service_common.storage", "service_common.telemetry", "service_common.settings")
    knowing = rules.importers(ROOT, ("service_common",), "flask", "werkzeug", "service_common.http")
    assert {module for module in knowing if any(rules.is_in(module, each) for each in below)} == set()


def test_only_the_server_imports_gunicorn() -> None:
    found = rules.importers(ROOT, ("service_common", *SERVICES), "gunicorn")
    assert {module for module in found if not rules.is_in(module, "service_common.server")} == set()


def test_only_storage_imports_a_database_driver() -> None:
    found = rules.importers(ROOT, ("service_common", *SERVICES), "apsw", "sqlite3", "psycopg")
    assert {module for module in found if not rules.is_in(module, "service_common.storage")} == set()


def test_only_look_ups_and_the_export_of_spans_send_http_requests() -> None:
    found = rules.importers(ROOT, ("service_common", *SERVICES), "requests", "urllib3", "httpx", "urllib.request")
    lookups = {"orders_service.upstream.client", "orders_service.upstream.transport"}
    assert found == {*lookups, "service_common.telemetry.tracing.export"}


def test_the_health_check_alone_speaks_http_by_the_standard_library() -> None:
    found = rules.importers(ROOT, ("service_common", *SERVICES), "http.client")
    assert found <= {"service_common.server.probe"}


def test_service_common_knows_no_table_and_no_business_word() -> None:
    words = re.compile(r"\b(users?|products?|orders?|emails?|prices?|cents|quantity)\b", re.IGNORECASE)
    for file in sorted((ROOT / "service_common").rglob("*.py")):
        code = ast.unparse(without_docstrings(ast.parse(file.read_text(encoding="utf-8"))))
        found = [line for line in code.splitlines() if words.search(line.replace("ORDER BY", ""))]
        assert not found, (file, found)


def without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            node.body = body[1:] or [ast.Pass()]  # type: ignore[attr-defined]
    return tree


def test_a_room_has_at_most_ten_files() -> None:
    assert rules.crowded(ROOT, *rules.PACKAGES, *SERVICES) == {}


def test_the_documented_tree_is_the_real_one() -> None:
    shown = rules.tree((ROOT / "docs/architecture.md").read_text(encoding="utf-8"))
    assert rules.untrue(ROOT, shown, *rules.PACKAGES, *SERVICES) == []


def test_an_image_holds_service_common_and_its_own_service() -> None:
    stage, copied = "", {}
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.startswith("FROM"):
            stage = line.split()[-1]
        elif line.startswith(("COPY", "ADD")) and "/tmp/requirements.txt" not in line:
            copied.setdefault(stage, []).extend(word for word in line.split()[1:-1] if not word.startswith("--"))
    own = {service.removesuffix("_service"): [service] for service in SERVICES}
    assert copied == {"service": ["service_common"], "loadgen": ["loadgen"]} | own


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_read_in_two_minutes(service: str) -> None:
    files = [ROOT / service / name for name in ("app.py", "models.py", "schema.sqlite.sql")]
    lines = [line for file in files for line in file.read_text().splitlines() if line.strip()]
    assert len(lines) <= 130


def test_the_arbiter_of_gunicorn_loads_no_application_code() -> None:
    code = """
        import runpy, sys
        runpy.run_module("service_common.server.gunicorn_conf")
        import gunicorn.app.wsgiapp, service_common.server.worker
        print(*{"flask", "pydantic", "prometheus_client", "requests", "apsw", "psycopg"} & sys.modules.keys())
    """
    loaded = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True)
    assert (loaded.returncode, loaded.stdout.strip()) == (0, ""), loaded.stderr


def write(root: Path, **files: str) -> None:
    """Write the files of a checkout: `http__body="import flask"` into http/body.py."""
    for name, text in files.items():
        file = root / f"{name.replace('__', '/')}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def test_an_import_that_runs_up_is_found(tmp_path: Path) -> None:
    floors = [("factory",), ("http", "mail"), ("ids",)]
    write(
        tmp_path, pack__factory="from .http import body", pack__http__body="from ..ids import MAX", pack__ids="MAX = 1"
    )
    assert rules.upward(tmp_path, "pack", floors) == []
    write(tmp_path, pack__ids="def late():\n    from pack import factory")
    assert rules.upward(tmp_path, "pack", floors) == ["ids imports factory"]
    write(tmp_path, pack__ids="", pack__mail__post="from ..http.body import MAX")
    assert rules.upward(tmp_path, "pack", floors) == ["mail.post imports http"]
    write(tmp_path, pack__mail__post="", pack__new="from .ids import MAX")
    assert rules.upward(tmp_path, "pack", floors) == ["new has no floor"]


@pytest.mark.parametrize("line", ["import flask", "from flask import g", "from flask.json import dumps"])
def test_an_import_of_a_package_is_found_in_each_form(tmp_path: Path, line: str) -> None:
    write(tmp_path, pack__one=line, pack__two="import flask_cors")
    assert rules.importers(tmp_path, ("pack",), "flask") == {"pack.one"}


def test_a_crowded_room_is_found(tmp_path: Path) -> None:
    write(tmp_path, **{f"pack__room__m{number}": "" for number in range(10)}, pack__room____init__="")
    assert rules.crowded(tmp_path, "pack") == {}
    write(tmp_path, pack__room__more="")
    assert rules.crowded(tmp_path, "pack") == {"pack/room": 11}


def test_a_tree_that_differs_from_the_real_one_is_found(tmp_path: Path) -> None:
    write(tmp_path, pack__one="", pack__two="", pack__room__three="")
    right = "# Tree\n\n```\npack/          a package\n  one.py, two.py  modules\n  room/        a room\n```\n"
    assert rules.untrue(tmp_path, rules.tree(right), "pack") == []
    assert rules.untrue(tmp_path, rules.tree(right.replace("one.py, ", "")), "pack") == ["pack/one.py is not shown"]
    assert rules.untrue(tmp_path, rules.tree(right.replace("room/", "hall/")), "pack") == [
        "pack/hall/ does not exist",
        "pack/room/ is not shown",
    ]
