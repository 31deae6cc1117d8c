import tracemalloc
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from loadgen.audit.invariants import INVARIANTS
from loadgen.audit.judge import FAIL, NO_VERDICT, PASS, Counts, audit
from loadgen.audit.tables import cents, email_key

from ..histories import History, as_sent, clean, order, product, user
from .stock_faults import STOCK_FAULTS


def violations(history: History) -> dict[str, int]:
    return {finding.name: finding.count for finding in history.audit().violated if finding.count}


def test_passes_a_clean_history() -> None:
    report = clean().audit()
    assert (report.verdict, report.flaws, report.violated) == (PASS, [], [])
    assert report.run == "k3f9z2"
    assert report.services == {
        "users": Counts(attempted=1, acknowledged=1),
        "products": Counts(attempted=5, acknowledged=4, refused=1),
        "orders": Counts(attempted=2, acknowledged=1, refused=1),
    }
    assert report.refusals == [("orders", "unknown-reference", 1), ("products", "precondition-failed", 1)]


def lose_the_order(history: History) -> None:
    del history.rows["orders", 1]


def alter_a_name(history: History) -> None:
    history.rows["users", 1]["name"] = "Ada Byron"


def alter_a_moment(history: History) -> None:
    history.rows["users", 1]["created_at"] = "2027-01-01T00:00:00.000Z"


def alter_the_price_of_an_unchanged_product(history: History) -> None:
    history.rows["products", 1]["price"] = "20.00"


def acknowledge_another_price_than_was_sent(history: History) -> None:
    history.created(20, "products", product(3, "Pen k3f9z2-20", "1.00"))
    history.sent_as[20]["body"]["price"] = "1.01"


def sell_at_a_price_that_the_product_never_had(history: History) -> None:
    history.created(20, "orders", order(2, quantity=3, unit_price="10.00", total="30.00"))


def sell_under_another_name(history: History) -> None:
    history.created(20, "orders", order(2, quantity=3, product_name="Coffee"))


def write_an_order_twice(history: History) -> None:
    history.rows["orders", 2] = order(2)


def write_a_product_twice_though_its_outcome_is_known_late(history: History) -> None:
    row = product(3, "Pen k3f9z2-20")
    history.sent(20, "products", as_sent(row))
    history.unknown(20)
    history.again(20)
    history.ok(20, row, try_=2)
    history.rows["products", 3] = row
    history.rows["products", 4] = product(4, "Pen k3f9z2-20")


def write_a_product_twice_and_never_answer(history: History) -> None:
    history.sent(20, "products", as_sent(product(3, "Pen k3f9z2-20")))
    history.unknown(20)
    history.rows["products", 3] = product(3, "Pen k3f9z2-20")
    history.rows["products", 4] = product(4, "Pen k3f9z2-20")


def accept_a_change_without_its_version(history: History) -> None:
    history.patch_sent(20, 2, "50.00", '"3"')
    history.rows["products", 2]["price"] = "50.00"
    history.ok(20, dict(history.rows["products", 2]), status=200, etag=None)


def keep_a_refused_product(history: History) -> None:
    history.sent(20, "products", {"name": "Pen k3f9z2-20", "price": "-1.00"}, expects="validation")
    history.refused(20, 422, "validation")
    history.rows["products", 3] = product(3, "Pen k3f9z2-20", "0.00")


def keep_an_overloaded_user(history: History) -> None:
    history.sent(20, "users", as_sent(user(2, "bob.k3f9z2.20@example.com")))
    history.refused(20, 503, "overloaded")
    history.rows["users", 2] = user(2, "bob.k3f9z2.20@example.com")


def invent_a_user(history: History) -> None:
    history.rows["users", 2] = user(2, "eve.k3f9z2.99@example.com")


def invent_an_order(history: History) -> None:
    history.rows["orders", 2] = order(2, quantity=77)


def accept_an_order_for_an_unknown_user(history: History) -> None:
    history.created(20, "orders", order(2, user_id=404))


def accept_an_order_of_an_unknown_product(history: History) -> None:
    history.created(20, "orders", order(2, product_id=404))


def add_up_wrongly(history: History) -> None:
    history.created(20, "orders", order(2, quantity=3, total="59.98"))


def answer_a_total_that_is_not_a_price(history: History) -> None:
    history.created(20, "orders", order(2, quantity=3, total="59.970"))


def accept_an_email_again_in_capitals(history: History) -> None:
    history.created(20, "users", user(2, "ADA.K3F9Z2.1@EXAMPLE.COM"), expects="any")


def hold_two_equal_emails_of_other_clients(history: History) -> None:
    history.rows["users", 2] = user(2, "zoe\u0308@example.com")
    history.rows["users", 3] = user(3, "ZO\u00cb@example.com")


def replay_another_body(history: History) -> None:
    history.again(1)
    history.ok(1, user(1, name="Ada King"), try_=2, replayed=True)


def replay_another_status(history: History) -> None:
    history.again(1)
    history.ok(1, user(1), try_=2, status=200, replayed=True)


def replay_without_saying_so(history: History) -> None:
    history.again(1)
    history.ok(1, user(1), try_=2)


def refuse_what_was_acknowledged(history: History) -> None:
    history.again(1)
    history.refused(1, 409, "duplicate-email", try_=2)


def hide_an_own_write(history: History) -> None:
    history.read(20, 4, "orders", 404, None)


def show_another_version_of_an_own_write(history: History) -> None:
    history.read(20, 1, "users", 200, user(1, name="Nobody"))


def replay_a_body_that_cannot_be_used(history: History) -> None:
    history.again(1)
    history.ended("unknown", 1, 2, status=201, problem=None, replayed=True, answer={})


def answer_a_read_with_nothing(history: History) -> None:
    history.sent(20, "users", None, method="GET", key=None, reads=[1, 0], action="read_own", path="/users/1")
    history.ended("unknown", 20, status=200, problem=None, replayed=False, answer={})


def accept_two_changes_of_one_version(history: History) -> None:
    history.patched(20, 2, "50.00", '"2"', '"4"')


def overwrite_an_accepted_change(history: History) -> None:
    history.rows["products", 2]["price"] = "46.00"


def keep_a_refused_change(history: History) -> None:
    history.rows["products", 2]["price"] = "47.00"


def change_a_version_that_does_not_exist(history: History) -> None:
    history.patched(20, 2, "50.00", '"8"', '"9"')


def accept_an_email_without_at(history: History) -> None:
    history.created(20, "users", user(2, "eve.k3f9z2.20"), expects="validation")


def refuse_a_good_order(history: History) -> None:
    history.sent(20, "orders", as_sent(order(2, quantity=3)))
    history.refused(20, 422, "unknown-reference")


def refuse_a_new_email(history: History) -> None:
    history.sent(20, "users", as_sent(user(2, "bob.k3f9z2.20@example.com")), expects="any")
    history.refused(20, 409, "duplicate-email")


def refuse_a_change_of_the_right_version(history: History) -> None:
    history.patch_sent(20, 2, "50.00", '"3"')
    history.refused(20, 412, "precondition-failed")


def accept_what_was_refused_under_its_key(history: History) -> None:
    history.sent(20, "orders", as_sent(order(2, quantity=3)), expects="any")
    history.refused(20, 422, "unknown-reference")
    history.again(20)
    history.rows["orders", 2] = order(2, quantity=3)
    history.ok(20, order(2, quantity=3), try_=2)


def refused_user(history: History) -> None:
    """A user that was refused because of the e-mail; the refusal is stored under its key."""
    history.sent(20, "users", as_sent(user(2)), expects="duplicate-email")
    history.refused(20, 409, "duplicate-email")
    history.again(20)


def replay_a_refusal_with_another_status(history: History) -> None:
    refused_user(history)
    history.refused(20, 422, "duplicate-email", try_=2, replayed=True)


def replay_a_refusal_with_another_body(history: History) -> None:
    refused_user(history)
    history.refused(20, 409, "duplicate-email", try_=2, replayed=True, answer={"request_id": "another"})


def refuse_again_without_saying_that_it_is_a_replay(history: History) -> None:
    refused_user(history)
    history.refused(20, 409, "duplicate-email", try_=2)


def replay_a_refusal_with_a_body_that_cannot_be_used(history: History) -> None:
    refused_user(history)
    history.ended("unknown", 20, 2, status=201, problem=None, replayed=True, answer={})


def call_an_identical_retry_another_request(history: History) -> None:
    history.again(1)
    history.refused(1, 422, "idempotency-key-reused", try_=2)


def call_a_retry_without_an_answer_another_request(history: History) -> None:
    history.sent(20, "users", as_sent(user(2, "bob.k3f9z2.20@example.com")))
    history.unknown(20)
    history.again(20)
    history.refused(20, 422, "idempotency-key-reused", try_=2)


def refuse_an_item_of_a_batch_in_another_way(history: History) -> None:
    rows = batch(history)
    history.ok(20, results(rows), status=200)
    history.again(20)
    changed = results(rows)
    changed["results"][1]["problem"] |= {"detail": "another"}
    history.ok(20, changed, try_=2, status=200, replayed=True)


# A broken service may do this, and violates this one invariant.
BROKEN = [
    (lose_the_order, "acknowledged but missing"),
    (alter_a_name, "acknowledged but altered"),
    (alter_a_moment, "acknowledged but altered"),
    (alter_the_price_of_an_unchanged_product, "acknowledged but altered"),
    (acknowledge_another_price_than_was_sent, "acknowledged but altered"),
    (accept_a_change_without_its_version, "acknowledged but altered"),
    (sell_at_a_price_that_the_product_never_had, "acknowledged but altered"),
    (sell_under_another_name, "acknowledged but altered"),
    (write_an_order_twice, "duplicated"),
    (write_a_product_twice_though_its_outcome_is_known_late, "duplicated"),
    (write_a_product_twice_and_never_answer, "duplicated"),
    (keep_a_refused_product, "refused but present"),
    (keep_an_overloaded_user, "refused but present"),
    (invent_a_user, "never sent but present"),
    (invent_an_order, "never sent but present"),
    (accept_an_order_for_an_unknown_user, "order with an unknown user or product"),
    (accept_an_order_of_an_unknown_product, "order with an unknown user or product"),
    (add_up_wrongly, "wrong total"),
    (answer_a_total_that_is_not_a_price, "wrong total"),
    (accept_an_email_again_in_capitals, "equal e-mails"),
    (hold_two_equal_emails_of_other_clients, "equal e-mails"),
    (replay_another_body, "replay that differed"),
    (replay_another_status, "replay that differed"),
    (replay_without_saying_so, "replay that differed"),
    (refuse_what_was_acknowledged, "replay that differed"),
    (replay_a_body_that_cannot_be_used, "replay that differed"),
    (accept_what_was_refused_under_its_key, "replay that differed"),
    (replay_a_refusal_with_another_status, "replay that differed"),
    (replay_a_refusal_with_another_body, "replay that differed"),
    (refuse_again_without_saying_that_it_is_a_replay, "replay that differed"),
    (replay_a_refusal_with_a_body_that_cannot_be_used, "replay that differed"),
    (call_an_identical_retry_another_request, "replay that differed"),
    (call_a_retry_without_an_answer_another_request, "replay that differed"),
    (refuse_an_item_of_a_batch_in_another_way, "replay that differed"),
    (hide_an_own_write, "own write not read back"),
    (answer_a_read_with_nothing, "own write not read back"),
    (show_another_version_of_an_own_write, "own write not read back"),
    (accept_two_changes_of_one_version, "update lost"),
    (overwrite_an_accepted_change, "update lost"),
    (keep_a_refused_change, "update lost"),
    (change_a_version_that_does_not_exist, "update lost"),
    (accept_an_email_without_at, "accepted, had to be refused"),
    (refuse_a_good_order, "refused without cause"),
    (refuse_a_new_email, "refused without cause"),
    (refuse_a_change_of_the_right_version, "refused without cause"),
    *STOCK_FAULTS,
]


@pytest.mark.parametrize(("broken", "name"), BROKEN)
def test_each_planted_fault_violates_its_own_invariant_and_no_other(
    broken: Callable[[History], None], name: str
) -> None:
    history = clean()
    broken(history)
    report = history.audit()
    assert report.verdict == FAIL
    assert [(finding.name, finding.count) for finding in report.violated] == [(name, 1)]
    assert len(report.violated[0].examples) == 1


def test_every_invariant_is_tested() -> None:
    (mark,) = test_each_planted_fault_violates_its_own_invariant_and_no_other.pytestmark  # type: ignore[attr-defined]
    assert {name for _, name in mark.args[1]} == {invariant.name for invariant in INVARIANTS}


def test_keeps_a_few_examples_of_many_violations() -> None:
    history = clean()
    for id_ in range(2, 30):
        history.rows["orders", id_] = order(id_, quantity=100 + id_)
    (finding,) = history.audit().violated
    assert finding.count == 28
    assert finding.examples == [f"orders {id_}" for id_ in range(2, 7)]


# Late outcomes, and none at all.


def test_a_write_is_acknowledged_if_any_of_its_tries_was() -> None:
    history = clean()
    history.sent(20, "users", as_sent(user(2, "bob.k3f9z2.20@example.com")))
    history.unknown(20)
    history.again(20, 2)
    history.refused(20, 503, "overloaded", try_=2)
    history.again(20, 3)
    history.ok(20, user(2, "bob.k3f9z2.20@example.com"), try_=3, replayed=True)
    assert violations(history) == {"acknowledged but missing": 1}
    history.rows["users", 2] = user(2, "bob.k3f9z2.20@example.com")
    assert history.audit().verdict == PASS


def test_two_tries_at_once_may_be_answered_in_either_order() -> None:
    history = clean()
    history.sent(20, "orders", as_sent(order(2, quantity=3)))
    history.again(20)
    history.ok(20, order(2, quantity=3), try_=2)
    history.ok(20, order(2, quantity=3), try_=1, replayed=True)
    history.rows["orders", 2] = order(2, quantity=3)
    assert history.audit().verdict == PASS


def test_a_refusal_by_data_settles_the_tries_before_it() -> None:
    history = clean()
    history.sent(20, "orders", {"user_id": 1, "product_id": 9 * 10**15, "quantity": 1}, expects="unknown-reference")
    history.unknown(20)
    history.again(20)
    history.refused(20, 422, "unknown-reference", try_=2)
    report = history.audit()
    assert report.verdict == PASS
    assert report.services["orders"] == Counts(attempted=3, acknowledged=1, refused=2)


def test_a_refusal_by_data_settles_a_try_that_was_still_in_flight() -> None:
    history = clean()
    history.sent(20, "orders", {"user_id": 1, "product_id": 9 * 10**15, "quantity": 1}, expects="unknown-reference")
    history.again(20)
    history.refused(20, 422, "unknown-reference", try_=2)
    history.unknown(20)
    report = history.audit()
    assert (report.verdict, report.services["orders"].refused) == (PASS, 2)


def test_a_refusal_by_data_does_not_settle_a_change_that_was_still_in_flight() -> None:
    history = clean()
    history.patch_sent(20, 2, "50.00", '"3"')
    history.again(20)
    history.refused(20, 412, "precondition-failed", try_=2)
    history.unknown(20)
    assert history.audit().services["products"].unknown == 1


def test_an_expected_validation_settles_every_try_since_the_bytes_are_the_same() -> None:
    history = clean()
    history.sent(20, "users", {"name": "", "email": "bob.k3f9z2.20@example.com"}, expects="validation")
    history.unknown(20)
    history.again(20)
    history.refused(20, 422, "validation", try_=2)
    history.again(20, 3)
    history.unknown(20, 3)
    assert history.audit().verdict == PASS
    history.rows["users", 2] = user(2, "bob.k3f9z2.20@example.com", "")
    assert violations(history) == {"refused but present": 1}


def test_a_503_after_an_unknown_try_does_not_settle() -> None:
    history = clean()
    history.sent(20, "users", as_sent(user(2, "bob.k3f9z2.20@example.com")))
    history.unknown(20)
    history.again(20)
    history.refused(20, 503, "storage-unavailable", try_=2)
    for row in (None, user(2, "bob.k3f9z2.20@example.com")):  # there or not: neither is a violation
        if row:
            history.rows["users", 2] = row
        report = history.audit()
        assert (report.verdict, report.violated) == (NO_VERDICT, [])
        assert report.flaws == ["1 writes could not be settled"]


def test_a_write_whose_end_was_never_recorded_is_unknown() -> None:
    history = clean()
    history.sent(20, "users", as_sent(user(2, "bob.k3f9z2.20@example.com")))
    assert history.audit().services["users"].unknown == 1


# PATCHes without an answer.


def patch_without_an_answer(history: History) -> None:
    """A change of version 3 that may have been made: no answer, then 412."""
    history.patch_sent(20, 2, "50.00", '"3"')
    history.unknown(20)
    history.again(20)
    history.refused(20, 412, "precondition-failed", try_=2)


@pytest.mark.parametrize("price", ["48.00", "50.00"])
def test_a_412_after_no_answer_leaves_both_prices_possible(price: str) -> None:
    history = clean()
    patch_without_an_answer(history)
    history.rows["products", 2]["price"] = price
    report = history.audit()
    assert report.verdict == PASS
    assert report.services["products"].maybe == 1


def test_a_412_after_no_answer_does_not_make_any_price_possible() -> None:
    history = clean()
    patch_without_an_answer(history)
    history.rows["products", 2]["price"] = "46.00"
    assert violations(history) == {"update lost": 1}


def test_a_change_may_build_on_one_that_was_never_answered() -> None:
    history = clean()
    patch_without_an_answer(history)
    history.patched(21, 2, "51.00", '"4"', '"5"')
    assert history.audit().verdict == PASS


def test_a_change_that_lost_to_another_cannot_be_the_last_one() -> None:
    history = clean()
    patch_without_an_answer(history)
    history.patched(21, 2, "51.00", '"3"', '"4"')
    history.rows["products", 2]["price"] = "50.00"
    assert violations(history) == {"update lost": 1}


def test_a_change_that_is_accepted_at_the_second_try_is_accepted() -> None:
    history = clean()
    history.patch_sent(20, 2, "50.00", '"3"')
    history.unknown(20)
    history.again(20)
    history.rows["products", 2]["price"] = "50.00"
    history.ok(20, dict(history.rows["products", 2]), try_=2, status=200, etag='"4"')
    assert history.audit().verdict == PASS


def test_an_order_may_have_any_price_that_its_product_may_have_had() -> None:
    history = clean()
    patch_without_an_answer(history)
    lamp: dict[str, Any] = {"product_id": 2, "product_name": "Lamp k3f9z2-3", "quantity": 1}
    for id_, price in enumerate(("45.90", "46.00", "48.00", "50.00"), start=2):
        history.created(20 + id_, "orders", order(id_, **lamp | {"quantity": id_}, unit_price=price))
        cents_ = int(price.replace(".", "")) * id_
        history.rows["orders", id_]["total"] = f"{cents_ // 100}.{cents_ % 100:02}"
        history.lines[-1]["answer"] = dict(history.rows["orders", id_])
    assert history.audit().verdict == PASS
    history.created(30, "orders", order(9, **lamp, unit_price="47.00", total="47.00"))  # that change was refused
    assert violations(history) == {"acknowledged but altered": 1}


# Batches.


def batch(history: History) -> list[dict[str, Any]]:
    rows = [user(2, "bob.k3f9z2.20.0@example.com"), user(3, "eve.k3f9z2.20.2@example.com")]
    bodies = [as_sent(rows[0]), {"name": "", "email": "x.k3f9z2.20.1@example.com"}, as_sent(rows[1])]
    history.sent(20, "users", {"items": bodies}, path="/users/batch", expects=["ok", "validation", "ok"])
    for row in rows:
        history.rows["users", row["id"]] = row
    return rows


def results(rows: list[dict[str, Any]]) -> dict[str, Any]:
    refused = {"status": 422, "problem": {"type": "/problems/validation", "status": 422}}
    first, second = ({"status": 201, "item": dict(row)} for row in rows)
    return {"results": [first, refused, second]}


def test_each_item_of_a_batch_is_a_write_of_its_own() -> None:
    history = clean()
    history.ok(20, results(batch(history)), status=200)
    report = history.audit()
    assert report.verdict == PASS
    assert report.services["users"] == Counts(attempted=4, acknowledged=3, refused=1)
    del history.rows["users", 3]
    assert violations(history) == {"acknowledged but missing": 1}


def test_finds_a_refused_item_that_is_stored() -> None:
    history = clean()
    history.ok(20, results(batch(history)), status=200)
    history.rows["users", 4] = user(4, "x.k3f9z2.20.1@example.com", "")
    assert violations(history) == {"refused but present": 1}


def test_a_batch_that_is_refused_as_a_whole_refuses_every_item() -> None:
    history = clean()
    batch(history)
    history.refused(20, 503, "overloaded")
    assert history.audit().services["users"] == Counts(attempted=4, acknowledged=1, refused=3)
    assert violations(history) == {"refused but present": 2}


def test_a_batch_without_an_answer_is_unknown_in_every_item() -> None:
    history = clean()
    batch(history)
    history.unknown(20)
    assert history.audit().services["users"].unknown == 3


def test_an_item_that_a_batch_refused_stays_refused_when_a_later_retry_is_lost() -> None:
    history = clean()
    history.ok(20, results(batch(history)), status=200)
    history.again(20)
    history.unknown(20, try_=2)
    report = history.audit()
    assert report.services["users"].unknown == 0
    assert report.verdict == PASS


def test_a_batch_that_is_replayed_with_another_item_differs() -> None:
    history = clean()
    rows = batch(history)
    history.ok(20, results(rows), status=200)
    history.again(20)
    history.ok(20, results([rows[0], rows[1] | {"name": "Eve"}]), try_=2, status=200, replayed=True)
    assert violations(history) == {"replay that differed": 1}


# Runs without a verdict.


def test_gives_no_verdict_where_a_service_acknowledged_nothing() -> None:
    history = History(kinds=[])
    history.created(1, "users", user(1))
    history.created(2, "products", product(1))
    report = history.audit()
    assert (report.verdict, report.flaws) == (NO_VERDICT, ["nothing was acknowledged by orders"])


def test_gives_no_verdict_where_a_kind_of_action_never_completed() -> None:
    history = clean()
    history.lines[0]["kinds"] = ["create_user", "create_order", "browse", "invalid_price"]
    report = history.audit()
    assert (report.verdict, report.flaws) == (NO_VERDICT, ["never completed: browse, invalid_price"])


def test_a_kind_of_action_that_was_always_unavailable_has_not_completed() -> None:
    history = clean()
    history.lines[0]["kinds"] = ["browse"]
    history.sent(20, "users", None, method="GET", key=None, action="browse")
    history.refused(20, 503, "overloaded")
    assert history.audit().verdict == NO_VERDICT


def test_a_flaw_of_the_run_prevents_a_pass() -> None:
    assert clean().audit(flaws=("the ledger could not be written",)).verdict == NO_VERDICT


def test_a_violation_outranks_a_flaw() -> None:
    history = clean()
    lose_the_order(history)
    assert history.audit(flaws=("reading back failed",)).verdict == FAIL


def test_judges_only_the_ledger_without_a_read_back() -> None:
    history = clean()
    report = history.audit(read_back=False)
    assert (report.verdict, report.flaws) == (NO_VERDICT, ["the rows were not read back"])
    assert {finding.count for finding in report.invariants} == {None, 0}
    replay_another_body(history)
    assert history.audit(read_back=False).verdict == FAIL


def test_does_not_pass_an_empty_history() -> None:
    assert History().audit().verdict == NO_VERDICT


def test_counts_the_rows_of_others_without_judging_them() -> None:
    history = clean()
    history.rows["users", 7] = user(7, "someone@example.org")
    history.rows["products", 7] = product(7, "Anvil", "nonsense")
    history.rows["orders", 7] = order(7, user_id=7, product_id=404, total="0.00")
    report = history.audit()
    assert (report.verdict, report.others) == (PASS, {"users": 1, "products": 1, "orders": 1})


def test_memory_does_not_grow_with_the_history() -> None:
    def rows(count: int) -> Iterator[tuple[str, dict[str, Any]]]:
        return (("users", user(n, f"ada.k3f9z2.{n}@example.com")) for n in range(1, count + 1))

    def history(count: int) -> Iterator[dict[str, Any]]:
        yield clean().lines[0]
        for _, row in rows(count):
            written = History()
            written.created(row["id"], "users", row)
            yield from written.lines[1:]

    def peak(count: int) -> int:
        tracemalloc.start()
        assert audit(history(count), rows(count)).services["users"].acknowledged == count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(10_000) < 1_000_000  # bytes; the history is seven times that


# Units.


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        *(("19.99", 1999), ("0.00", 0), ("1000000.00", 100_000_000), (5, 500), (Decimal("19.9"), 1990)),
        *((Decimal("1e2"), 10_000), (Decimal("0.1") + Decimal("0.2"), 30)),
        *(("19.9", None), ("-1.00", None), ("1e2", None), ("", None), ("१.००", None), (None, None), (True, None)),
        *((Decimal("0.001"), None), (Decimal("1e999999"), None), (Decimal("NaN"), None), (10**30, None), ([], None)),
    ],
)
def test_a_price_is_whole_cents_or_no_price(price: Any, expected: int | None) -> None:
    assert cents(price) == expected


@pytest.mark.parametrize("other", ["ZOË@example.com", "zoe\u0308@example.com", "ZOE\u0308@EXAMPLE.COM"])
def test_emails_are_equal_after_nfc_and_case_folding(other: str) -> None:
    assert email_key(other) == email_key("zoë@example.com")
    assert email_key(other) != email_key("zoe@example.com")
