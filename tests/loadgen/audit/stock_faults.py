"""Histories with a limited product in which a broken service violates one invariant."""

from ..histories import History, order, with_stock


def sell_more_than_was_supplied(history: History) -> None:
    with_stock(history)
    history.limited_order(120, 520, 9)
    history.rows["products", 50]["stock"] = 0


def sell_more_than_was_supplied_although_units_were_taken_away(history: History) -> None:
    history.limited(120, 50, 10)
    history.stocked(121, 50, -4)
    history.limited_order(122, 520, 7)
    history.rows["products", 50]["stock"] = 0


def lose_a_unit(history: History) -> None:
    with_stock(history)
    history.rows["products", 50]["stock"] -= 1


def invent_a_unit(history: History) -> None:
    with_stock(history)
    history.rows["products", 50]["stock"] += 1


def lose_an_addition(history: History) -> None:
    with_stock(history)
    history.rows["products", 50]["stock"] -= 5


def keep_a_refused_addition(history: History) -> None:
    with_stock(history)
    history.stock_sent(120, 50, 3)
    history.refused(120, 503, "overloaded")
    history.rows["products", 50]["stock"] += 3


def forget_a_release(history: History) -> None:
    with_stock(history)
    history.rows["products", 50]["stock"] -= 2
    for kind in ("reserved", "stuck"):
        history.token(kind, "b.1", 2)


def forget_a_confirm(history: History) -> None:
    with_stock(history)
    history.tokens["reserved"]["a.104"] = history.tokens["stuck"]["a.104"] = history.tokens["sold"].pop("a.104")


def keep_units_reserved_for_most_of_the_time(history: History) -> None:
    with_stock(history)
    history.token("stuck", "b.1", 2)  # and released at the very end


def return_the_units_of_an_order(history: History) -> None:
    with_stock(history)
    del history.tokens["sold"]["a.104"]
    history.rows["products", 50]["stock"] += 3


def sell_without_an_order(history: History) -> None:
    with_stock(history)
    history.token("sold", "b.1", 2)
    history.rows["products", 50]["stock"] -= 2


def take_an_order_of_another_client_without_its_units(history: History) -> None:
    with_stock(history)
    history.rows["orders", 520] = order(520, user_id=77, product_id=50, quantity=2)


def refuse_units_that_come_back(history: History) -> None:
    with_stock(history)
    history.out_of_stock(120, 8)


def refuse_units_that_were_added_before(history: History) -> None:
    with_stock(history)
    history.out_of_stock(120, 9)
    history.stocked(121, 50, 2)
    history.out_of_stock(122, 10)


def refuse_an_order_of_an_unlimited_product(history: History) -> None:
    history.sent(120, "orders", {"user_id": 1, "product_id": 1, "quantity": 3}, expects="any")
    history.refused(120, 409, "out-of-stock")


def refuse_an_addition(history: History) -> None:
    with_stock(history)
    history.stock_sent(120, 50, 1, expects="any")
    history.refused(120, 409, "out-of-stock")


def make_a_product_unlimited(history: History) -> None:
    with_stock(history)
    history.rows["products", 50]["stock"] = None


def answer_with_another_stock_than_was_sent(history: History) -> None:
    with_stock(history)
    history.sent_as[100]["body"]["stock"] = 11
    history.rows["products", 50]["stock"] += 1  # the supply is what was sent


def add_to_another_product(history: History) -> None:
    with_stock(history)
    history.limited(120, 51, 1)
    history.stock_sent(121, 50, 1)
    history.rows["products", 50]["stock"] += 1
    history.ok(121, dict(history.rows["products", 51]), status=200)


STOCK_FAULTS = [
    (sell_more_than_was_supplied, "oversold"),
    (sell_more_than_was_supplied_although_units_were_taken_away, "oversold"),
    (lose_a_unit, "units lost or invented"),
    (invent_a_unit, "units lost or invented"),
    (lose_an_addition, "units lost or invented"),
    (keep_a_refused_addition, "units lost or invented"),
    (forget_a_release, "still reserved"),
    (forget_a_confirm, "still reserved"),
    (keep_units_reserved_for_most_of_the_time, "still reserved"),
    (return_the_units_of_an_order, "sales and orders differ"),
    (sell_without_an_order, "sales and orders differ"),
    (take_an_order_of_another_client_without_its_units, "sales and orders differ"),
    (refuse_units_that_come_back, "out of stock too early"),
    (refuse_units_that_were_added_before, "out of stock too early"),
    (refuse_an_order_of_an_unlimited_product, "refused without cause"),
    (refuse_an_addition, "refused without cause"),
    (make_a_product_unlimited, "acknowledged but altered"),
    (answer_with_another_stock_than_was_sent, "acknowledged but altered"),
    (add_to_another_product, "acknowledged but altered"),
]
