import pytest

from loadgen import settle as settling
from loadgen.ledger import read
from loadgen.run import Run
from loadgen.settle import settle

from .conftest import Connect


def test_what_is_unknown_is_sent_again_with_its_key_until_it_is_known(run: Run, connect: Connect) -> None:
    client = connect("drop_answers")
    ops = [run.write_op("users", "create_user", {"name": "Ada", "email": f"ada{n}@example.com"}) for n in range(20)]
    for op in ops:
        client.send(op)
    assert len(run.open) == 2
    assert settle(client) == 0
    assert all(op.fate == "ok" for op in ops)
    again = [line for line in read(run.ledger.path) if line["event"] == "sent" and line["action"] == "settle"]
    assert {line["key"] for line in again} == {ops[6].key, ops[13].key}


def test_a_change_without_an_answer_may_have_been_made(run: Run, connect: Connect) -> None:
    client = connect("drop_answers")
    client.send(run.write_op("products", "create_product", {"name": "Tea", "price": "1.00"}))
    for n in range(5):
        client.send(run.write_op("users", "create_user", {"name": "Ada", "email": f"ada{n}@example.com"}))
    patch = run.patch_op("products", "race_patch", 1, {"price": "2.00"}, '"1"')
    assert client.send(patch).outcome == "unknown"
    assert settle(client) == 0
    assert patch.fate == "maybe"


def test_what_cannot_be_settled_in_time_is_counted(run: Run, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "SETTLE_TIMEOUT_S", 0.5)
    client = connect("fail_all")
    client.send(run.write_op("users", "batch_users", {"items": [{}, {}]}, ["ok", "ok"]))
    client.send(run.write_op("users", "create_user", {"name": "Ada", "email": "ada@example.com"}))
    assert settle(client) == 3
