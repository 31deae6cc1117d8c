"""A short run of generated requests against each service. docs/generated-input.md says how to make a long one."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from testbed import Fleet

from ..services.client import send, served
from .api import furnish, run

SHORT = ("--max-examples", "8", "--generation-deterministic", "--seed", "1")
# On a busy machine it takes long to make the requests. That says nothing about the service.
ANY_SPEED = ("--suppress-health-check", "too_slow")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The three services with the users and products that orders may name."""
    running = Fleet(tmp_path_factory.mktemp("generated"))
    try:
        furnish(running.start())
        yield running
    finally:
        running.stop()


def operations(fleet: Fleet, name: str) -> set[str]:
    """Return the operations in the document of a service."""
    paths: dict[str, dict[str, Any]] = send(served(fleet, name), "GET", "/openapi.json").json()["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


@pytest.mark.parametrize("name", ["orders", "users", "products"])  # orders first: the others delete what orders need
def test_every_answer_to_a_generated_request_matches_the_document(fleet: Fleet, name: str) -> None:
    status, printed, figures = run(fleet, name, *SHORT, *ANY_SPEED)
    assert status == 0, printed
    print(json.dumps(figures, indent=1))
    assert figures["5xx"] == figures["rows wrongly written"] == 0
    assert operations(fleet, name) <= figures["by operation"].keys()  # each was accepted at least once
    assert figures["cases"] > 300
    assert min(figures["accepted"], figures["refused"]) > 100
