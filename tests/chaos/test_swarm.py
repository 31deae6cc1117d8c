"""The campaign on the stack for Swarm: its plan, and the comparison of the database nodes."""

from chaos.campaign import plan
from chaos.databases.files import File
from chaos.databases.stock import Stock
from chaos.judge import Round, count
from chaos.swarm.audit import differences
from chaos.swarm.faults import FAULTS, FAULTS_OF_NODES, SHORT, SHORT_OF_NODES

from .test_history import ended, history, sent


def held(rows: dict[int, str], unkeyed: int = 0, left: int = 5) -> tuple[dict[str, File], Stock, list[str]]:
    return {"users": File(rows, unkeyed)}, Stock(left={1: left}), []


def test_every_fault_of_the_stack_is_planned_once_and_those_of_the_database_are_never_in_a_pair() -> None:
    rounds = plan(list(FAULTS), 60, 7, FAULTS)
    assert {fault.name for each in rounds[: len(FAULTS)] for fault in each} == set(FAULTS)
    assert not any(fault.service in ("pg", "etcd", "all") for each in rounds if len(each) > 1 for fault in each)
    assert set(SHORT) <= FAULTS.keys() < FAULTS_OF_NODES.keys() >= set(SHORT_OF_NODES)


def test_a_standby_that_lacks_a_row_a_key_or_a_unit_is_found() -> None:
    primary = held({1: "a", 2: "b"})
    assert list(differences(primary, held({1: "a", 2: "b"}))) == []
    assert list(differences(primary, held({1: "a"}))) == ["1 rows of users differ from those of the primary"]
    assert list(differences(primary, held({1: "a", 2: "b"}, unkeyed=1))) != []
    assert list(differences(primary, held({1: "a", 2: "b"}, left=4))) != []


def test_reads_that_fail_count_as_failed_and_refusals_by_rule_do_not() -> None:
    made = history(
        sent(1, method="GET"), ended(1, event="refused", status=503),
        sent(2, method="GET"), ended(2, event="unknown", error="reset"),
        sent(3), ended(3, event="refused", status=422),
        sent(4), ended(4, status=201),
    )  # fmt: skip
    count(made.ended, [], done := Round(["update-all"]))
    assert done.failed == 2
