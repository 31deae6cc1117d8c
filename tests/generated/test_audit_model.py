"""The judge on any honest history: it finds no violation, and with one planted fault exactly that one."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.audit.judge import FAIL, NO_VERDICT, PASS, Report

from ..loadgen.audit.test_judge import BROKEN
from ..loadgen.histories import History, clean
from .shop import OPERATION, Shop

OPERATIONS = st.lists(OPERATION, max_size=25)


def played(operations: list[tuple[str, int, list[str], bool]]) -> tuple[Shop, Report]:
    shop = Shop(clean())
    for operation in operations:
        shop.play(operation)
    return shop, shop.history.audit()


@given(OPERATIONS)
def test_finds_no_violation_by_services_that_keep_the_contract(
    operations: list[tuple[str, int, list[str], bool]],
) -> None:
    by_hand = clean().audit().services
    shop, report = played(operations)
    assert report.violated == []
    counts = report.services.values()
    unsettled = sum(each.unknown for each in counts)
    assert report.verdict == (NO_VERDICT if unsettled else PASS)
    assert sum(each.attempted for each in counts) == shop.attempted + sum(each.attempted for each in by_hand.values())
    known = sum(each.acknowledged for each in counts) - sum(each.acknowledged for each in by_hand.values())
    assert known <= shop.written <= known + unsettled + sum(each.maybe for each in counts)


@pytest.mark.parametrize(("broken", "name"), BROKEN)
@settings(max_examples=max(2, settings().max_examples // 30))  # for each of these
@given(operations=OPERATIONS)
def test_each_planted_fault_violates_its_own_invariant_in_any_history(
    broken: Callable[[History], None], name: str, operations: list[tuple[str, int, list[str], bool]]
) -> None:
    shop, _ = played(operations)
    broken(shop.history)
    report = shop.history.audit()
    assert report.verdict == FAIL
    assert [(finding.name, finding.count) for finding in report.violated] == [(name, 1)]
