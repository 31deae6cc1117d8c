"""The limit on the requests of one address: who is exempt from it."""

from collections.abc import Iterable

import pytest
from flask import Flask
from werkzeug.test import Client

from service_common.http import rate_limit
from service_common.settings import Settings


def limited(exempt: str) -> Client:
    """Return a client of an application that answers each address once an hour."""
    app = Flask("limited")
    app.add_url_rule("/", view_func=lambda: "answer")
    rate_limit.init_app(app, "1/hour", Settings.from_env({"RATE_LIMIT_EXEMPT": exempt}).rate_limit_exempt)
    return Client(app)


def statuses(client: Client, address: str) -> Iterable[int]:
    """Return the statuses of two requests from an address."""
    return [client.get("/", environ_overrides={"REMOTE_ADDR": address}).status_code for _ in range(2)]


@pytest.mark.parametrize(
    ("exempt", "address", "second"),
    [
        ("", "10.1.2.3", 429), ("10.1.2.3", "10.1.2.3", 200), ("10.1.2.3", "10.1.2.4", 429), ("10.1.0.0/16", "10.1.255.255", 200),
        ("10.1.0.0/16", "10.2.0.0", 429), ("192.0.2.1 10.1.0.0/16", "10.1.0.1", 200), ("10.1.0.0/16", "::ffff:10.1.0.1", 200),
        ("10.1.0.0/16", "::ffff:10.2.0.1", 429), ("::1", "::1", 200), ("::1", "127.0.0.1", 429), ("127.0.0.0/8", "::1", 429),
        ("fe80::/10", "fe80::1%eth0", 200), ("0.0.0.0/0 ::/0", "203.0.113.9", 200), ("0.0.0.0/0", "", 429),
    ],
)  # fmt: skip
def test_exempts_exactly_the_addresses_in_the_networks(exempt: str, address: str, second: int) -> None:
    assert statuses(limited(exempt), address) == [200, second]


def test_counts_each_address_by_itself() -> None:
    client = limited("")
    assert statuses(client, "10.0.0.1") == statuses(client, "10.0.0.2") == [200, 429]
