"""A fourth service costs at most six edits outside its own folder: one is added to a copy of the tree, and run."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from testbed import ROOT, Fleet, Process, wait_until
from testbed.engine import BUILD_S, Composed

from .. import architecture as rules

LEFT_OUT = shutil.ignore_patterns(
    ".git", ".*_cache", ".venv", ".hypothesis", "__pycache__", "data", "reports", "secrets"
)
MOST_EDITS = 6


def after(line: str, *more: str) -> Callable[[str], str]:
    """Return an edit that adds lines after the one line that begins with `line`."""

    def edit(text: str) -> str:
        (found,) = re.findall(rf"^{re.escape(line)}.*\n", text, re.MULTILINE)
        return text.replace(found, found + "".join(f"{each}\n" for each in more))

    return edit


def before(line: str, *more: str) -> Callable[[str], str]:
    """Return an edit that adds lines before the one line that begins with `line`."""

    def edit(text: str) -> str:
        (found,) = re.findall(rf"^{re.escape(line)}.*\n", text, re.MULTILINE)
        return text.replace(found, "".join(f"{each}\n" for each in more) + found)

    return edit


def as_reviews(text: str) -> str:
    """Return text about products as one about reviews."""
    for word, other in (("product", "review"), ("Product", "Review"), ("PRODUCT", "REVIEW")):
        text = text.replace(word, other)
    return text


def in_dockerfile(text: str) -> str:
    (target,) = re.findall(r"^FROM service AS products\n(?:.+\n)+", text, re.MULTILINE)
    return text.replace(target, f"{target}\n{as_reviews(target)}")


def in_compose(text: str) -> str:
    (service,) = re.findall(r"^  products:\n(?:    .*\n)+", text, re.MULTILINE)
    text = text.replace(service, f"{service}\n{as_reviews(service).replace('8002', '8004')}")
    return text.replace("volumes:\n  users:\n", "volumes:\n  users:\n  reviews:\n")


EDITS: dict[str, Callable[[str], str]] = {
    "pyproject.toml": after("orders = 8003", "reviews = 8004"),
    "Dockerfile": in_dockerfile,
    "docker-compose.yml": in_compose,
    "compose.token.yml": after("  orders: *token", "  reviews: *token"),
    "docs/architecture.md": before("products_service/", "reviews_service/    the same"),
}


def add_reviews(root: Path) -> None:
    """Add the service's own folder to a checkout, and make the edits."""
    shutil.copytree(root / "products_service", root / "reviews_service")
    for file in (root / "reviews_service").rglob("*.*"):
        file.write_text(as_reviews(file.read_text(encoding="utf-8")), encoding="utf-8")
    for name, edit in EDITS.items():
        before = (root / name).read_text(encoding="utf-8")
        (root / name).write_text(edit(before), encoding="utf-8")
        assert (root / name).read_text(encoding="utf-8") != before, name


def broken_rules(root: Path) -> set[str]:
    """Return the tests of the architecture that fail in a checkout."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_architecture.py"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return set(re.findall(r"^FAILED (\S+)", done.stdout, re.MULTILINE))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this tree with a fourth service in it."""
    root = tmp_path_factory.mktemp("fourth") / "threefold"
    shutil.copytree(ROOT, root, ignore=LEFT_OUT)
    add_reviews(root)
    return root


@pytest.fixture(scope="module")
def reviews(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The fourth service, started beside the other three."""
    fleet = Fleet(tmp_path_factory.mktemp("data"), root=checkout)
    try:
        yield fleet.start().by_name["reviews"]
    finally:
        fleet.stop()


def test_a_fourth_service_costs_at_most_six_edits() -> None:
    assert len(EDITS) <= MOST_EDITS


def test_contributing_names_exactly_these_edits() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = page.partition("## Adding a fourth service\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\S+)` \|", section, re.MULTILINE) == list(EDITS)


def test_a_fourth_service_breaks_no_rule_of_the_architecture(checkout: Path) -> None:
    assert "reviews_service" in rules.services(checkout)
    assert broken_rules(checkout) == broken_rules(ROOT)


def test_a_fourth_service_is_known_to_make_run(checkout: Path) -> None:
    code = "from tools import preflight; print(preflight.PORTS['REVIEWS_PORT'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True)
    assert done.stdout == "8004\n", done.stderr


def test_a_fourth_service_creates_and_reads_items(reviews: Process) -> None:
    created = requests.post(f"{reviews.url}/reviews", json={"name": "Good", "price": "1.50"}, timeout=10)
    assert (created.status_code, created.json()["name"]) == (201, "Good")
    read = requests.get(reviews.url + created.headers["Location"], timeout=10)
    assert (read.status_code, read.json()) == (200, created.json())


def test_a_fourth_service_writes_batches(reviews: Process) -> None:
    items = [{"name": "Good", "price": "1.50"}, {"name": "", "price": "1.50"}]
    batch = requests.post(f"{reviews.url}/reviews/batch", json={"items": items}, timeout=10)
    assert [result["status"] for result in batch.json()["results"]] == [201, 422]


def test_a_fourth_service_replays_a_key(reviews: Process) -> None:
    answers = [
        requests.post(
            f"{reviews.url}/reviews", json={"name": "Once", "price": 2}, headers={"Idempotency-Key": "k"}, timeout=10
        )
        for _ in range(2)
    ]
    assert [answer.headers.get("Idempotency-Replayed") for answer in answers] == [None, "true"]
    assert answers[0].json() == answers[1].json()


@pytest.mark.alone
@pytest.mark.engine
@pytest.mark.timeout(BUILD_S)
def test_a_fourth_service_runs_in_a_container(checkout: Path, engine: None) -> None:
    system = Composed("fourth", root=checkout)
    try:
        system.compose("build", "reviews")
        system.compose("up", "-d", "--no-build", "--wait", "reviews")
        wait_until(lambda: system.ready("reviews"), what="reviews ready")
        assert system.post("reviews", {"name": "Good", "price": "1.50"}).status_code == 201
    finally:
        system.compose("down", "-v", "--rmi", "local", "--remove-orphans", check=False)
