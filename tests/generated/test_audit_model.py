"""The audit, in the midst of any honest history: it accuses nobody, and finds each thing that a broken service does."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.audit import HELD, UNDECIDED, VIOLATED, Report

from ..loadgen.histories import History, clean
from ..loadgen.test_audit import BROKEN
from .shop import OPERATION, Shop

OPERATIONS = st.lists(OPERATION, max_size=25)


def played(operations: list[tuple[str, int, list[str], bool]]) -> tuple[Shop, Report]:
    shop = Shop(clean())
    for operation in operations:
        shop.play(operation)
    return shop, shop.history.audit()


@given(OPERATIONS)
def test_services_that_keep_the_contract_are_accused_of_nothing(
    operations: list[tuple[str, int, list[str], bool]],
) -> None:
    by_hand = clean().audit().services
    shop, report = played(operations)
    assert report.violated == []
    counts = report.services.values()
    unsettled = sum(each.unknown for each in counts)
    assert report.verdict == (UNDECIDED if unsettled else HELD)
    assert sum(each.attempted for each in counts) == shop.attempted + sum(each.attempted for each in by_hand.values())
    known = sum(each.acknowledged for each in counts) - sum(each.acknowledged for each in by_hand.values())
    assert known <= shop.written <= known + unsettled + sum(each.maybe for each in counts)


@pytest.mark.parametrize(("broken", "name"), BROKEN)
@settings(max_examples=max(2, settings().max_examples // 30))  # for each of these
@given(operations=OPERATIONS)
def test_one_fault_is_found_in_its_own_line_whatever_else_happened(
    broken: Callable[[History], None], name: str, operations: list[tuple[str, int, list[str], bool]]
) -> None:
    shop, _ = played(operations)
    broken(shop.history)
    report = shop.history.audit()
    assert report.verdict == VIOLATED
    assert [(finding.name, finding.count) for finding in report.violated] == [(name, 1)]
