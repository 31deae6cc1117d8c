"""The pages name only what exists: files, headings, commands, settings, tests, messages."""

import importlib.util
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

import orders_service.app
import products_service.app
import users_service.app
from service_common.http.problem_kinds import COMMON, ProblemKind

from .pages import PAGES, ROOT, anchors, code, links, rows, text

README_WORDS = 900
OURS = r"bench|chaos|docs|lessons|loadgen|orders_service|products_service|users_service|service_common|testbed|tests|tools"  # folders
OTHERS_SETTINGS = {"COMPOSE_FILE", "GUNICORN_CMD_ARGS", "WEB_CONCURRENCY"}  # of programs that we use
OTHERS_MESSAGES = {"port is already allocated"}  # of the engine
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


@cache
def sources(*patterns: str) -> str:
    """The text of all files of this project that match one of the patterns."""
    files = {file for pattern in patterns for file in ROOT.glob(pattern) if ".venv" not in file.parts}
    return "\n".join(file.read_text(encoding="utf-8") for file in sorted(files) if file.is_file())


def test_the_readme_is_short() -> None:
    assert len(text(ROOT / "README.md").split()) <= README_WORDS


@each_page
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_the_index_lists_every_page() -> None:
    index = ROOT / "docs/README.md"
    listed = {(index.parent / target).resolve() for target in links(index)}
    assert listed >= {page for page in PAGES if page.parent in (ROOT, ROOT / "docs")} - {index}


@each_page
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text(ROOT / "Makefile"), re.MULTILINE))
    for line in code(page):
        words = shlex.split(line, comments=True) if "make " in line else []
        if "make" in words:
            named = [word for word in words[words.index("make") + 1 :] if "=" not in word]
            assert set(named) <= targets, line


@each_page
def test_every_compose_file_exists(page: Path) -> None:
    for line in code(page):
        for name in re.findall(r"-f (\S+\.yml)", line):
            assert (ROOT / name).is_file(), line


@each_page
def test_every_compose_service_and_profile_exists(page: Path) -> None:
    composed = text(ROOT / "docker-compose.yml").partition("\nservices:\n")[2].partition("\nnetworks:\n")[0]
    services = set(re.findall(r"^  ([a-z-]+):", composed, re.MULTILINE))
    profiles = {"*", *re.findall(r"profiles: \[(\S+)\]", composed)}
    for line in code(page):
        if "docker compose " in line:
            named = re.findall(r"(?:run --rm(?: -v \S+)?|--scale|--exit-code-from|logs|restart) ([a-z][a-z-]*)", line)
            assert set(named) <= services, line
            assert set(re.findall(r"--profile '?([a-z*]+)", line)) <= profiles, line


@each_page
def test_every_module_that_is_run_exists(page: Path) -> None:
    for line in code(page):
        for module in re.findall(r"\bpython3? -m ([\w.]+)", line):
            assert importlib.util.find_spec(module), line


@each_page
def test_every_path_exists(page: Path) -> None:
    for line in code(page):
        if re.match(rf"({OURS})/[\w/.*-]*$", line):
            assert list(ROOT.glob(line.rstrip("/"))), line


@each_page
def test_every_setting_exists(page: Path) -> None:
    known = sources("*/**/*.py", "*.yml", "Makefile", "Dockerfile", ".env")
    for line in code(page):
        for name in re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", line):
            others = name.startswith("LOCUST_") or name in OTHERS_SETTINGS
            assert others or re.search(rf"\b{name}\b", known, re.IGNORECASE), line


@each_page
def test_every_test_exists(page: Path) -> None:
    tests = sources("tests/**/*.py")
    for name in re.findall(r"`(test_\w+)`", text(page)):
        assert f"def {name}(" in tests, name


def test_the_api_page_lists_every_problem_with_its_status() -> None:
    modules = (users_service.app, products_service.app, orders_service.app)
    own = [value for module in modules for value in vars(module).values() if isinstance(value, ProblemKind)]
    statuses = {kind.slug: str(kind.status) for kind in (*COMMON, *own)}
    listed = {
        slug: row[1] for row in rows(ROOT / "docs/api.md", "## Errors") for slug in re.findall(r"`([\w-]+)`", row[0])
    }
    assert {slug for slug, status in statuses.items() if status not in listed.get(slug, "")} == set()
    known = sources("service_common/**/*.py")
    assert {slug for slug in listed.keys() - statuses.keys() if slug not in known} == set()


def test_the_troubleshooting_page_quotes_real_messages() -> None:
    said = " ".join(sources("*/*.py", "*/**/*.py", "Makefile").split()).replace('" f"', "").replace('" "', "")
    for row in rows(ROOT / "docs/troubleshooting.md", "## It does not start"):
        for message in re.findall(r"`([^`]+)`", row[0]):
            fixed = [part.strip() for part in re.split(r"…|\d+|NAME:", message) if len(part.strip()) > 2]
            assert message in OTHERS_MESSAGES or (fixed and all(part in said for part in fixed)), message
