"""The check of orders against a products service that changes between two questions."""

import json
from collections.abc import Callable, Collection, Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from orders_service.checkout import Checkout
from orders_service.models import NewOrder
from orders_service.settings import OrdersSettings
from orders_service.upstream.attempts import Attempts
from orders_service.upstream.client import Found, Remote
from orders_service.upstream.reservations import Reservations
from orders_service.upstream.rounds import Lookups
from service_common.http.problems import Problem
from service_common.storage.database import Row

TEA = {"id": 7, "name": "Tea", "price": "1.00", "stock": 1}
Answer = Callable[[list[str]], dict[str, Any]]  # of products, by the tokens that are to be reserved


def is_held(tokens: list[str]) -> dict[str, Any]:
    return {"items": [TEA | {"stock": 0}], "short": [], "held": tokens, "unknown": []}


def is_gone(_tokens: list[str]) -> dict[str, Any]:
    return {"items": [], "short": [], "held": [], "unknown": []}


def is_unlimited(_tokens: list[str]) -> dict[str, Any]:
    return {"items": [TEA | {"stock": None}], "short": [], "held": [], "unknown": []}


def ordered(monkeypatch: pytest.MonkeyPatch, attempts: Attempts, *answers: Answer) -> Row | Problem:
    """Order tea, which is limited when it is looked up, and return the row; `answers` are those to its reserves."""
    left = list(answers)

    def get(remote: Remote, ids: Collection[int], _request_id: str) -> Found:
        return {id: {"id": id} if remote.name == "users" else dict(TEA) for id in ids}

    def post(_remote: Remote, _path: str, bodies: Sequence[bytes], *_: Any) -> list[dict[str, Any]]:
        return [left.pop(0)([each["token"] for each in json.loads(body)["reserve"]]) for body in bodies]

    monkeypatch.setattr(Remote, "get", get)
    monkeypatch.setattr(Remote, "post", post)
    registry = CollectorRegistry()
    lookups = Lookups(OrdersSettings(), attempts, Reservations(attempts), registry)
    (row,) = Checkout(lookups, attempts, patience=1).rows([NewOrder(user_id=1, product_id=7, quantity=1)])
    assert not left
    return row


@pytest.mark.parametrize("answers", [(is_gone,), (is_held, is_gone)], ids=["at first sight", "while it waits"])
def test_a_limited_product_that_is_deleted_meanwhile_is_not_ordered(
    monkeypatch: pytest.MonkeyPatch, attempts: Attempts, answers: tuple[Answer, ...]
) -> None:
    """Its units may be sold: with what was found before, an order would take one that is not there."""
    refused = ordered(monkeypatch, attempts, *answers)
    assert isinstance(refused, Problem)
    assert (refused.kind.slug, refused.errors) == (
        "unknown-reference", [{"pointer": "/product_id", "detail": "there is no product 7"}]
    )  # fmt: skip
    assert attempts.all_settled()


def test_a_product_that_is_unlimited_meanwhile_is_ordered_without_a_token(
    monkeypatch: pytest.MonkeyPatch, attempts: Attempts
) -> None:
    assert ordered(monkeypatch, attempts, is_unlimited) == (1, 7, 1, "Tea", 100, None)
    assert attempts.all_settled()
