"""The judge is pure. tests/test_architecture.py keeps the floors and the size of the rooms."""

from testbed.services import ROOT
from tests import architecture as rules

IMPURE = ("gevent", "geventhttpclient", "locust", "random", "requests", "rich", "socket", "subprocess", "time")


def test_the_judge_knows_no_network_no_clock_and_no_terminal() -> None:
    judging = {module for module in rules.modules(ROOT, "loadgen") if rules.is_in(module, "loadgen.audit")}
    assert len(judging) > 5
    assert judging & rules.importers(ROOT, ("loadgen",), *IMPURE) == set()


def test_only_the_sender_opens_connections() -> None:
    assert rules.importers(ROOT, ("loadgen",), "geventhttpclient", "requests", "urllib.request", "http.client") == {
        "loadgen.traffic.sender"
    }


def test_the_judge_would_be_caught_with_a_clock() -> None:
    assert "loadgen.run.state" in rules.importers(ROOT, ("loadgen",), *IMPURE)
