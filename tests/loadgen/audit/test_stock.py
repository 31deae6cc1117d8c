"""Limited products: honest histories that must pass, and those that cannot be judged."""

import pytest

from loadgen.audit.judge import FAIL, NO_VERDICT, PASS, Counts

from ..histories import History, clean, order, with_stock


@pytest.fixture
def history() -> History:
    history = clean()
    with_stock(history)
    return history


def test_passes_a_history_of_a_limited_product(history: History) -> None:
    report, before = history.audit(), clean().audit()
    assert (report.verdict, report.flaws, report.violated) == (PASS, [], [])
    products, orders = before.services["products"], before.services["orders"]
    assert report.services["products"] == Counts(
        products.attempted + 3, products.acknowledged + 2, products.refused + 1
    )
    assert report.services["orders"] == Counts(orders.attempted + 5, orders.acknowledged + 2, orders.refused + 3)


def test_judges_an_oversale_without_a_read_back(history: History) -> None:
    history.limited_order(120, 520, 9)
    assert [finding.name for finding in history.audit(read_back=False).violated] == ["oversold"]


def test_an_addition_of_unknown_outcome_may_be_there_or_not(history: History) -> None:
    history.stock_sent(120, 50, 5)
    history.unknown(120)
    history.stock_sent(121, 50, -2)
    history.unknown(121)
    for stock in (6, 8, 11, 13):
        history.rows["products", 50]["stock"] = stock
        assert (history.audit().verdict, history.audit().violated) == (NO_VERDICT, []), stock
    for stock in (5, 14):
        history.rows["products", 50]["stock"] = stock
        assert history.audit().verdict == FAIL, stock


def test_an_addition_that_is_acknowledged_at_the_second_try_counts_once(history: History) -> None:
    history.stock_sent(120, 50, 5)
    history.unknown(120)
    history.again(120)
    history.rows["products", 50]["stock"] += 5
    history.ok(120, dict(history.rows["products", 50]), try_=2, status=200, replayed=True)
    assert history.audit().verdict == PASS


def test_units_that_came_later_do_not_make_a_refusal_wrong(history: History) -> None:
    history.sent(120, "orders", {"user_id": 1, "product_id": 50, "quantity": 9}, expects="any")
    history.stocked(121, 50, 4)
    history.refused(120, 409, "out-of-stock")
    assert history.audit().verdict == PASS


def test_a_refusal_that_is_replayed_was_decided_at_the_first_try(history: History) -> None:
    history.out_of_stock(120, 9)
    history.stocked(121, 50, 4)
    history.again(120)
    history.refused(120, 409, "out-of-stock", try_=2, replayed=True)
    assert history.audit().verdict == PASS


def test_units_that_were_held_may_be_ordered_with_the_same_key(history: History) -> None:
    history.again(107)
    history.refused(107, 503, "stock-held", try_=2)
    history.again(107, 3)
    row = order(520, product_id=50, quantity=8, product_name="Vase k3f9z2-100")
    history.ok(107, row, try_=3)
    history.rows["orders", 520] = row
    history.rows["products", 50]["stock"] = 0
    history.token("sold", "a.107", 8)
    assert history.audit().verdict == PASS


def test_counts_the_orders_of_other_clients(history: History) -> None:
    history.rows["orders", 520] = order(520, user_id=77, product_id=50, quantity=2)
    history.token("sold", "c.1", 2)
    history.rows["products", 50]["stock"] -= 2
    report = history.audit()
    assert (report.verdict, report.others) == (PASS, {"orders": 1})


def test_a_token_that_was_settled_while_it_was_read_counts_once(history: History) -> None:
    history.token("reserved", "a.104", 3)  # reservations are listed first, then sales
    assert history.audit().verdict == PASS


def test_does_not_judge_stock_that_changed_while_it_was_read(history: History) -> None:
    history.changes[50] = -2
    history.token("sold", "c.1", 2)
    report = history.audit()
    assert (report.verdict, report.violated) == (NO_VERDICT, [])
    assert report.flaws == ["the stock of 1 limited products changed while it was read back: did another client order?"]


def test_does_not_judge_limited_products_of_others(history: History) -> None:
    history.rows["products", 60] = {"id": 60, "name": "Anvil", "price": "1.00", "stock": 3}
    history.token("stuck", "c.1", 2, product_id=60)
    history.token("sold", "c.2", 9, product_id=60)
    assert history.audit().verdict == PASS
