"""Bearer tokens, when they are asked for."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from ..fleet import Fleet

SECRET, OTHER = "s3cret-token-of-this-test", "another-valid-one"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    directory: Path = tmp_path_factory.mktemp("guarded")
    running = Fleet(directory, env={"API_TOKEN": f"{SECRET} {OTHER}"})
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.mark.parametrize(
    "presented", [None, "", "Bearer", "Bearer wrong", f"Basic {SECRET}", f"Bearer {SECRET}x", "Bearer \xe9"]
)
def test_without_a_valid_token_only_the_probes_answer(guarded: Fleet, presented: str | None) -> None:
    headers = {"Authorization": presented.encode("latin-1")} if presented is not None else {}
    for path in ("/", "/users", "/users/1", "/metrics", "/docs", "/openapi.json", "/nothing"):
        answer = requests.get(guarded.users.url + path, headers=headers, timeout=10)
        assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthorized")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    for path in ("/livez", "/readyz"):
        assert requests.get(guarded.users.url + path, headers=headers, timeout=10).status_code == 200


@pytest.mark.parametrize("token", [SECRET, OTHER])
def test_each_valid_token_opens_and_orders_presents_its_own(guarded: Fleet, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    user = requests.post(
        f"{guarded.users.url}/users", json={"name": "A", "email": f"{token}@b"}, headers=headers, timeout=10
    )
    product = requests.post(
        f"{guarded.products.url}/products", json={"name": "T", "price": 1}, headers=headers, timeout=10
    )
    order = {"user_id": user.json()["id"], "product_id": product.json()["id"], "quantity": 1}
    assert requests.post(f"{guarded.orders.url}/orders", json=order, headers=headers, timeout=10).status_code == 201


def test_a_token_is_never_logged(guarded: Fleet) -> None:
    requests.get(f"{guarded.users.url}/users", headers={"Authorization": f"Bearer {SECRET}"}, timeout=10)
    for process in guarded.all:
        assert SECRET not in process.logged()
        assert OTHER not in process.logged()
