from collections.abc import Callable
from itertools import count
from pathlib import Path

import gevent
import pytest

from loadgen.audit.ledger import read_rows
from loadgen.traffic import readback
from loadgen.traffic.readback import ReadBackFailed
from loadgen.traffic.sender import Sender
from loadgen.traffic.workload import Workload

from ..conftest import Connect


def read_back(sender: Sender, path: Path) -> int:
    return readback.read_back(sender.http, sender.workload.first_ids, sender.workload.limited, path)


def test_reads_every_row_from_the_first_of_the_run_on(
    workload: Workload, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readback, "PAGE", 3)
    sender = connect(None)
    for n in range(8):
        sender.send(workload.write_op("users", "create_user", {"name": "Ada", "email": f"ada{n}@example.com"}))
    sender.send(workload.write_op("products", "create_product", {"name": "Tea", "price": "1.00"}))
    workload.first_ids = {"users": 2, "products": 1}
    assert read_back(sender, tmp_path / "rows.jsonl") == 8
    found = list(read_rows(tmp_path / "rows.jsonl"))
    assert [(service, row["id"]) for service, row in found] == [*(("users", n) for n in range(2, 9)), ("products", 1)]


def test_fails_where_ids_do_not_grow(workload: Workload, connect: Connect, tmp_path: Path) -> None:
    sender = connect("repeat_pages")
    sender.send(workload.write_op("users", "create_user", {"name": "Ada", "email": "ada@example.com"}))
    with pytest.raises(ReadBackFailed, match="listed the id 1 after 1"):
        read_back(sender, tmp_path / "rows.jsonl")


def test_fails_where_a_service_does_not_answer(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readback, "PAUSE_S", 0.0)
    with pytest.raises(ReadBackFailed, match="users did not answer"):
        read_back(connect("fail_all"), tmp_path / "rows.jsonl")


@pytest.fixture
def shop(workload: Workload, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Sender]:
    """Makes a sender for services with a limited product, of which one unit was ordered three times."""
    monkeypatch.setattr(readback, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(readback, "REST_S", 0.1)

    def begin(fault: str | None = None) -> Sender:
        sender = connect(fault)
        sender.send(workload.write_op("users", "create_user", {"name": "Ada", "email": "ada@example.com"}))
        for body in ({"name": "Tea", "price": "1.00"}, {"name": "Vase", "price": "1.00", "stock": 9}):
            sender.send(workload.write_op("products", "create_product", body))
        for quantity in (1, 2, 3):
            order = {"user_id": 1, "product_id": 2, "quantity": quantity}
            sender.send(workload.write_op("orders", "create_order", order, "any"))
        workload.first_ids = dict.fromkeys(("users", "products", "orders"), 1)
        workload.limited = [2]
        return sender

    return begin


def kinds(path: Path) -> list[tuple[str, object]]:
    """The rows of limited products, with their tokens or stocks."""
    return [
        (kind, row["token"] if "token" in row else row["stock"])
        for kind, row in read_rows(path)
        if kind in ("stuck", "reserved", "sold", "at_rest")
    ]


def test_reads_sales_and_the_stock_at_rest(shop: Callable[..., Sender], tmp_path: Path) -> None:
    read_back(shop(), tmp_path / "rows.jsonl")
    sold = [("sold", f"a.{number:06}") for number in (1, 2, 3)]
    assert kinds(tmp_path / "rows.jsonl") == [*sold, ("at_rest", 3)]


def test_names_a_reservation_that_stays_open(shop: Callable[..., Sender], tmp_path: Path) -> None:
    read_back(shop("keep_reserved"), tmp_path / "rows.jsonl")
    sold = [("sold", f"a.{number:06}") for number in (1, 2)]
    open_ = [("stuck", "a.000003"), ("reserved", "a.000003")]
    assert kinds(tmp_path / "rows.jsonl") == [*open_, *sold, ("at_rest", 3)]


def test_waits_for_no_reservation_of_other_products(shop: Callable[..., Sender], tmp_path: Path) -> None:
    sender = shop("keep_reserved")
    sender.workload.limited = [3]
    assert readback.await_rest(sender.http["products"], {3}) == []


def test_reservations_that_come_and_go_are_not_stuck(
    monkeypatch: pytest.MonkeyPatch, shop: Callable[..., Sender]
) -> None:
    monkeypatch.setattr(readback, "LONGEST_WAIT_S", 0.4)
    listed = (iter([{"token": f"c.{number}"}]) for number in count())
    monkeypatch.setattr(readback, "tokens", lambda *_: next(listed))
    assert readback.await_rest(shop().http["products"], {2}) == []


def test_an_outage_of_products_is_no_time_in_which_a_reservation_could_be_settled(
    monkeypatch: pytest.MonkeyPatch, shop: Callable[..., Sender]
) -> None:
    monkeypatch.setattr(readback, "SLOW_S", 0.05)
    answers = iter([0.0, 0.2, 0.0])  # seconds until the reservation is listed; then it is settled

    def listed(*_: object) -> list[dict[str, str]]:
        if (wait := next(answers, None)) is None:
            return []
        gevent.sleep(wait)
        return [{"token": "a.1"}]

    monkeypatch.setattr(readback, "tokens", listed)
    assert readback.await_rest(shop().http["products"], {2}) == []


def test_fails_where_tokens_do_not_grow(monkeypatch: pytest.MonkeyPatch, shop: Callable[..., Sender]) -> None:
    page = [{"token": "a.2", "product_id": 2, "quantity": 1}]
    monkeypatch.setattr(readback, "_page", lambda *_: page)
    with pytest.raises(ReadBackFailed, match=r"listed the token 'a\.2' after 'a\.2'"):
        list(readback.tokens(shop().http["products"], "after", {2}))
