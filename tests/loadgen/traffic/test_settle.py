import pytest

from loadgen.audit.ledger import read
from loadgen.traffic import settle as settling
from loadgen.traffic.settle import settle
from loadgen.traffic.workload import Workload

from ..conftest import Connect


def test_sends_unknown_writes_again_with_their_keys_until_they_are_known(workload: Workload, connect: Connect) -> None:
    sender = connect("drop_answers")
    ops = [
        workload.write_op("users", "create_user", {"name": "Ada", "email": f"ada{n}@example.com"}) for n in range(20)
    ]
    for op in ops:
        sender.send(op)
    assert len(workload.open) == 2
    assert settle(sender) == 0
    assert all(op.fate == "ok" for op in ops)
    again = [line for line in read(workload.ledger.path) if line["event"] == "sent" and line["action"] == "settle"]
    assert {line["key"] for line in again} == {ops[6].key, ops[13].key}


def test_a_change_without_an_answer_may_have_been_made(workload: Workload, connect: Connect) -> None:
    sender = connect("drop_answers")
    sender.send(workload.write_op("products", "create_product", {"name": "Tea", "price": "1.00"}))
    for n in range(5):
        sender.send(workload.write_op("users", "create_user", {"name": "Ada", "email": f"ada{n}@example.com"}))
    patch = workload.patch_op("products", "race_patch", 1, {"price": "2.00"}, '"1"')
    assert sender.send(patch).outcome == "unknown"
    assert settle(sender) == 0
    assert patch.fate == "maybe"


def test_counts_the_writes_that_cannot_be_settled_in_time(
    workload: Workload, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "SETTLE_TIMEOUT_S", 0.5)
    sender = connect("fail_all")
    sender.send(workload.write_op("users", "batch_users", {"items": [{}, {}]}, ["ok", "ok"]))
    sender.send(workload.write_op("users", "create_user", {"name": "Ada", "email": "ada@example.com"}))
    assert settle(sender) == 3
