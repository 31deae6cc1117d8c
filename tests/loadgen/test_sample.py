import io

import pytest
from rich.console import Console

from loadgen.ledger import read
from loadgen.run import Run
from loadgen.sample import SampleFailed, insert, show

from .conftest import Connect


def test_ten_of_each_are_inserted_and_three_refused(run: Run, connect: Connect) -> None:
    ops = insert(connect(None))
    accepted = [op.service for op in ops if op.fate == "ok"]
    assert {service: accepted.count(service) for service in run.first_ids} == dict.fromkeys(run.first_ids, 10)
    refused = sorted((op.service, op.expects) for op in ops if op.fate == "refused")
    assert refused == [("orders", "unknown-reference"), ("products", "validation"), ("users", "duplicate-email")]
    assert len(run.hot_products) == 10


def test_the_first_row_of_each_service_is_inserted_alone_before_all_else(run: Run, connect: Connect) -> None:
    client = connect(None)
    insert(client)
    assert run.first_ids == {"users": 1, "products": 1, "orders": 1}
    _, *lines = read(run.ledger.path)
    assert [line["event"] for line in lines[:6]] == ["sent", "ok"] * 3
    assert [line["service"] for line in lines[:6:2]] == ["users", "products", "orders"]


def test_a_second_run_inserts_them_again(tmp_path_factory: pytest.TempPathFactory, run: Run, connect: Connect) -> None:
    client = connect(None)
    insert(client)
    client.run = Run(tmp_path_factory.mktemp("second"), [], budget=None)
    ops = insert(client)
    assert sum(op.fate == "ok" for op in ops) == 30
    assert client.run.first_ids["users"] == 11


def test_where_the_first_row_is_refused_there_is_no_run(run: Run, connect: Connect) -> None:
    with pytest.raises(SampleFailed, match="users"):
        insert(connect("refuse_all"))


def test_the_table_says_what_came_of_each(run: Run, connect: Connect) -> None:
    printed = io.StringIO()
    show(insert(connect(None)), Console(file=printed, width=110, markup=False))
    lines = [line.rstrip() for line in printed.getvalue().splitlines()]
    assert any(line.startswith("user Ada Lovelace") and line.endswith("201  id 1") for line in lines)
    assert any(line.startswith("user Ada Again") and line.endswith("409  duplicate-email") for line in lines)
    assert max(map(len, lines)) <= 100
