import pytest

from loadgen.audit.ledger import read
from loadgen.run.state import Run
from loadgen.traffic.sample import SampleFailed, capitals, describe, find_limited, insert, scaled
from loadgen.traffic.workload import Workload

from ..conftest import Connect


def test_inserts_ten_rows_of_each_service_and_tries_three_that_are_refused(
    workload: Workload, connect: Connect
) -> None:
    ops = insert(connect(None))
    accepted = [op.service for op in ops if op.fate == "ok"]
    assert {service: accepted.count(service) for service in workload.first_ids} == dict.fromkeys(workload.first_ids, 10)
    refused = sorted((op.service, op.expects) for op in ops if op.fate == "refused")
    assert refused == [("orders", "unknown-reference"), ("products", "validation"), ("users", "duplicate-email")]
    assert (len(workload.hot_products), len(workload.limited)) == (7, 3)


def test_inserts_the_first_row_of_each_service_before_all_else(workload: Workload, connect: Connect) -> None:
    sender = connect(None)
    insert(sender)
    assert workload.first_ids == {"users": 1, "products": 1, "orders": 1}
    _, *lines = read(workload.ledger.path)
    assert [line["event"] for line in lines[:6]] == ["sent", "ok"] * 3
    assert [line["service"] for line in lines[:6:2]] == ["users", "products", "orders"]


def test_a_second_run_inserts_rows_of_its_own(tmp_path_factory: pytest.TempPathFactory, connect: Connect) -> None:
    sender = connect(None)
    insert(sender)
    sender.workload = Run(tmp_path_factory.mktemp("second"), None).workload
    ops = insert(sender)
    assert sum(op.fate == "ok" for op in ops) == 30
    assert sender.workload.first_ids["users"] == 11


def test_the_first_row_of_products_is_unlimited(workload: Workload, connect: Connect) -> None:
    insert(connect(None))
    assert workload.first_ids["products"] not in workload.limited


@pytest.mark.parametrize(("writes", "stock"), [(None, 300), (10_000, 300), (100_000, 3000), (1000, 30), (1, 1)])
def test_the_stock_grows_with_the_load(writes: int | None, stock: int) -> None:
    assert scaled(300, writes) == stock


def test_fails_where_the_first_row_is_refused(connect: Connect) -> None:
    with pytest.raises(SampleFailed, match=r"users .*\(401 unauthorized\)"):
        insert(connect("refuse_all"))


def test_describes_each_write_and_its_outcome(connect: Connect) -> None:
    described = {row.partition(" <")[0]: outcome for row, *outcome in map(describe, insert(connect(None)))}
    assert described["user Ada Lovelace"] == ["201", "id 1"]
    assert any(row.startswith("product Chess set") and row.endswith("at 38.00, 200 in stock") for row in described)
    assert described["user Ada Again"] == ["409", "duplicate-email"]


@pytest.mark.parametrize("email", ["ada@example.com", "ı.yıldız@example.com", "zoë@example.com"])
def test_an_address_in_capitals_is_the_same_address(email: str) -> None:
    assert capitals(email).casefold() == email.casefold()
    assert capitals(email) != email


def test_a_limited_product_that_is_acknowledged_late_is_judged_too(workload: Workload, connect: Connect) -> None:
    insert(connect())
    late = workload.stocked[0]
    late.answer, answer = None, late.answer
    find_limited(workload)
    assert late in workload.stocked and len(workload.limited) == len(workload.stocked) - 1
    late.answer = answer
    find_limited(workload)
    assert len(workload.limited) == len(workload.stocked) == 3
