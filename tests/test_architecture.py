"""Who may know whom: imports go one way, and an image holds one service."""

import ast
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVICES = ("users_service", "products_service", "orders_service")
OWN = {*SERVICES, "service_common", "loadgen", "tests", "bench", "chaos", "tools"}
MAY_IMPORT = {
    "service_common": {"service_common"},
    "loadgen": {"loadgen"},
    "chaos": {"chaos", "loadgen"},
    "tools": {"tools"},
    **{service: {service, "service_common"} for service in SERVICES},
}


def imported(file: Path) -> set[str]:
    """The first part of every module that a file imports; relative imports stay in their package."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0] if node.level == 0 else file.relative_to(ROOT).parts[0])
    return names


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_it_may(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for file in files:
        assert imported(file) & OWN <= MAY_IMPORT[package], file


def test_only_the_look_ups_of_orders_speak_http_to_others() -> None:
    speaking = {
        file.relative_to(ROOT).as_posix()
        for package in ("service_common", *SERVICES)
        for file in (ROOT / package).rglob("*.py")
        if imported(file) & {"requests", "urllib3", "httpx"}
        or re.search(r"\b(http\.client|urllib\.request)\b", file.read_text(encoding="utf-8"))
    }
    assert speaking == {"orders_service/lookups.py"}


def test_what_is_common_knows_no_table_and_no_business_word() -> None:
    words = re.compile(r"\b(users?|products?|orders?|emails?|prices?|cents|quantity)\b", re.IGNORECASE)
    for file in sorted((ROOT / "service_common").rglob("*.py")):
        if file.name == "settings.py":
            continue  # it says where each service is
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


def test_an_image_holds_what_is_common_and_its_own() -> None:
    stage, copied = "", {}
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.startswith("FROM"):
            stage = line.split()[-1]
        elif line.startswith(("COPY", "ADD")) and "/tmp/requirements.txt" not in line:
            copied.setdefault(stage, []).extend(word for word in line.split()[1:-1] if not word.startswith("--"))
    assert copied == {
        "service": ["service_common"],
        "users": ["users_service"],
        "products": ["products_service"],
        "orders": ["orders_service"],
        "loadgen": ["loadgen"],
    }


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_read_in_two_minutes(service: str) -> None:
    files = [ROOT / service / name for name in ("app.py", "models.py", "schema.sql")]
    lines = [line for file in files for line in file.read_text().splitlines() if line.strip()]
    assert len(lines) <= 130


def test_the_process_that_only_watches_over_a_service_loads_little() -> None:
    code = """
        import runpy, sys
        runpy.run_module("service_common.gunicorn_conf")
        import gunicorn.app.wsgiapp, service_common.worker
        print(*{"flask", "pydantic", "prometheus_client", "requests", "apsw"} & sys.modules.keys())
    """
    loaded = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True)
    assert (loaded.returncode, loaded.stdout.strip()) == (0, ""), loaded.stderr
