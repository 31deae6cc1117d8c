"""Orders while users or products are away, hang, talk nonsense or lie: nothing is written unchecked, nothing waits for long."""

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
import requests

from orders_service.upstream.transport import Session
from testbed import Fleet, Process, wait_until

from .client import created, everything, get, metric, new_key, new_order, post, refused, rows, send

LOOKUP_TIMEOUT_S = 1.0
SLACK_S = 1.5  # for a busy machine
DRIP, DRIP_S = b"<drip>", 0.1  # well below the timeout of an attempt: only the deadline of all attempts can end it
ORDER = {"user_id": 1, "product_id": 1, "quantity": 2}
USER = {"id": 1, "name": "Ada", "email": "ada@example.com", "created_at": "2026-01-02T03:04:05.678Z"}
PRODUCT = {"id": 1, "name": "Tea", "price": "19.99", "created_at": "2026-01-02T03:04:05.678Z"}


def http(body: bytes, *fields: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """An answer as it goes over the wire; its Content-Length may lie."""
    head = [
        f"HTTP/1.1 {status}",
        "Content-Type: application/json",
        f"Content-Length: {len(body) if length is None else length}",
    ]
    return "\r\n".join([*head, *fields, "Connection: close", "", ""]).encode() + body


def page(*items: Any, **members: Any) -> bytes:
    return http(json.dumps({"items": list(items), "next": None} | members).encode())


class Fake:
    """A service that answers with the same bytes again and again; None is no answer before it is closed.

    What ends with `DRIP` never ends: its last byte is sent over and over until the service is closed.
    """

    def __init__(self, answer: bytes) -> None:
        self.first: list[bytes] = []  # answered once each, before the others
        self.endless = (
            b"",
            b"",
        )  # in place of all others: the first once, then the second again and again, without a pause
        self.answer: bytes | None = answer
        self.asked: list[str] = []
        self.closed = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if "/reservations" in self.path:  # orders looks through them now and then
                    self.wfile.write(page())
                    return
                fake.asked.append(self.path)
                if fake.endless[1]:
                    self.pour(*fake.endless)
                elif (answer := fake.first.pop(0) if fake.first else fake.answer) is None:
                    fake.closed.wait()
                else:
                    whole = answer.removesuffix(DRIP)
                    self.wfile.write(whole)
                    while whole != answer and not fake.closed.wait(DRIP_S):
                        self.wfile.write(whole[-1:])
                self.close_connection = True

            def pour(self, once: bytes, again: bytes) -> None:
                with suppress(OSError):  # until the client closes
                    self.wfile.write(once)
                    while not fake.closed.is_set():
                        self.wfile.write(again * (1 + (1 << 16) // len(again)))

            def log_message(self, *_args: Any) -> None:
                return None

        return Handler

    def close(self) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()


class Shop:
    """The real orders between a false users and a false products."""

    def __init__(self, directory: Path) -> None:
        self.users, self.products = Fake(page(USER)), Fake(page(PRODUCT))
        env = {
            "USERS_URL": self.users.url, "PRODUCTS_URL": self.products.url, "LOOKUP_TIMEOUT": str(LOOKUP_TIMEOUT_S),
            "LOOKUP_ATTEMPT_TIMEOUT": "0.4", "BREAKER_COOLDOWN": "0.12",
        }  # fmt: skip
        self.orders = Process("orders", "orders_service.app:create_app()", directory, env).start()

    def close(self) -> None:
        self.users.close()
        self.products.close()
        self.orders.stop()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    running = Shop(tmp_path_factory.mktemp("shop"))
    try:
        yield running
    finally:
        running.close()


def mend(shop: Shop) -> None:
    """Let the others answer well, and wait until orders has seen it."""
    shop.users.answer, shop.products.answer = page(USER), page(PRODUCT)
    wait_until(lambda: post(shop.orders, ORDER).status_code == 201, what="an order")
    shop.users.asked.clear()
    shop.products.asked.clear()


@pytest.fixture
def sound(shop: Shop) -> Shop:
    """The shop, in which the others answer well when a test begins."""
    mend(shop)
    return shop


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    began = time.monotonic()
    return call(), time.monotonic() - began


def assert_refused_in_time(shop: Shop) -> None:
    """An order, a batch and an expanded read are refused within the deadline; nothing is written; plain reads work."""
    before = rows(shop.orders)
    asks: list[Callable[[], Any]] = [
        lambda: post(shop.orders, ORDER),
        lambda: post(shop.orders, {"items": [ORDER, ORDER]}, "/batch"),
        lambda: get(shop.orders, "/1?expand=user,product"),
        lambda: get(shop.orders, "?expand=product,user"),
    ]
    for ask in asks:
        answer, took = timed(ask)
        refused(answer, "dependency-unavailable")
        assert took < LOOKUP_TIMEOUT_S + SLACK_S
    assert get(shop.orders, "/1").status_code == 200
    assert rows(shop.orders) == before
    assert send(shop.orders, "GET", "/readyz").status_code == 200


NONSENSE = {
    "500": http(b"{}", status="500 Oops"), "404": http(b'{"items": []}', status="404 Not Found"), "401": http(b"{}", status="401 No"),
    "503": http(b"{}", status="503 Busy"), "204": http(b"", status="204 No Content"), "201": http(b'{"items":[]}', status="201 Created"),
    "a redirect": http(b"", "Location: /users?ids=1", status="302 Found"), "nothing": b"", "no HTTP": b"nonsense\r\n\r\n", "zeros": bytes(1000),
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le", "an empty body": http(b""), "HTML": http(b"<html>"), "half an answer": http(b'{"items": [', length=500),
    "less than announced": http(b'{"items": []}', length=500), "null": http(b"null"), "an array": http(b"[]"), "no items": http(b"{}"),
    "items: null": http(b'{"items": null}'), "items: an object": http(b'{"items": {}}'), "items: text": http(b'{"items": "1"}'),
    "an item that is a number": page(1), "an item without id": page({"name": "Ada"}), "an id that is text": page(USER | {"id": "1"}),
    "an id that is true": page(USER | {"id": True}), "an id with a point": page(USER | {"id": 1.0}), "an id below 1": page(USER | {"id": 0}),
    "an id that is too large": page(USER | {"id": 2**63}), "not UTF-8": http(b'{"items": [{"id": 1, "name": "\xff"}]}'),
    "nested deeply": http(b'{"items": ' + b"[" * 100_000), "five megabytes": http(b'{"items": [], "x": "' + b"x" * 5_000_000 + b'"}'),
    "a bomb": http(gzip.compress(b'{"items": [], "x": "' + b"x" * 50_000_000 + b'"}'), "Content-Encoding: gzip"),
    "four megabytes of lists": http(b'{"items": [], "x": [' + b"[]," * 1_390_000 + b"0]}"), "four megabytes of numbers": http(b"[" + b"1," * 2_000_000 + b"1]"),
    "a million digits": http(b'{"items": [{"id": ' + b"1" * 1_000_000 + b"}]}"), "an exponent": http(b'{"items": [{"id": 1e999999999}]}'), "NaN": http(b'{"items": [{"id": NaN}]}'),
    "JSON by another name": page(USER).replace(b"application/json", b"text/html"), "JSON by no name": page(USER).replace(b"Content-Type: application/json\r\n", b""),
    "another type": http(b"id=1").replace(b"application/json", b"text/plain"), "UTF-16": http('{"items": []}'.encode("utf-16")), "a byte order mark": http(b"\xef\xbb\xbf[]"),
    "two lengths": http(b'{"items": []}', "Content-Length: 5"), "a negative length": http(b'{"items": []}', length=-5), "300": http(b"", status="300 Choose"),
    "a redirect to itself": http(b"", "Location: ?ids=1", status="307 Again"), "switching": http(b"", "Upgrade: h2c", status="101 Switching Protocols"), "a status of its own": http(b"{}", status="999 Own"),
    "a status that is no number": http(b"{}", status="OK 200"), "HTTP/0.9": b'{"items": []}', "chunks that lie": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n{}",
    "a negative chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n", "deflate": http(b"x", "Content-Encoding: deflate"), "two codings": http(b"x", "Content-Encoding: gzip, gzip"),
    "one id twice": page(USER, USER | {"name": "Eve"}), "gzip": http(gzip.compress(page(USER).split(b"\r\n\r\n")[1]), "Content-Encoding: gzip"),
    "no gzip": http(b'{"items": []}', "Content-Encoding: gzip"), "an endless head": b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 1000 + b"\r\n",
    "a long line": b"HTTP/1.1 200 OK\r\nX-A: " + b"b" * 100_000 + b"\r\n\r\n", "broken chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
}  # fmt: skip


@pytest.mark.parametrize("case", NONSENSE)
def test_an_answer_that_is_none_is_no_answer(sound: Shop, case: str) -> None:
    sound.users.answer = NONSENSE[case]
    assert_refused_in_time(sound)
    assert sound.users.asked


@pytest.mark.parametrize("case", ["500", "nothing", "HTML", "no items", "an id that is text", "broken chunks"])
def test_of_products_it_is_none_either(sound: Shop, case: str) -> None:
    sound.products.answer = NONSENSE[case]
    assert_refused_in_time(sound)
    assert sound.products.asked


@pytest.mark.parametrize(
    "fields",
    [{"price": 19.99}, {"price": 20}, {"price": None}, {"price": "19.9"}, {"price": "1e5"}, {"price": "-1.00"}, {"price": "12345678.00"},
     {"price": "19,99"}, {"price": ""}, {"price": "１.00"}, {"name": None}, {"name": ""}, {"name": "x" * 201}, {"name": 1},
     {"price": "1000000.01"}, {"price": "9999999.99"}, {"price": "NaN"}, {"price": "1.00\n"}, {"name": "a\x1b[2J"}, {"name": "a\r\nb"}, {"name": "\x00"}],
)  # fmt: skip
def test_a_product_that_cannot_be_sold_is_no_answer(sound: Shop, fields: dict[str, Any]) -> None:
    sound.products.answer = page(PRODUCT | fields)
    assert_refused_in_time(sound)


@pytest.mark.parametrize("fields", [{"name": float("nan")}, {"email": None}, {"created_at": 1}])
def test_a_user_who_is_none_is_no_answer(sound: Shop, fields: dict[str, Any]) -> None:
    sound.users.answer = page(USER | fields)
    assert_refused_in_time(sound)


def test_a_user_who_was_not_asked_for_does_not_count(sound: Shop) -> None:
    sound.users.answer = page(USER | {"id": 2}, USER | {"id": 3})
    refused(post(sound.orders, ORDER), "unknown-reference")


def test_what_the_others_tell_beyond_the_contract_is_no_harm(sound: Shop) -> None:
    sound.users.answer = page(USER | {"nickname": "Countess"}, more=True)
    assert post(sound.orders, ORDER).status_code == 201


@pytest.mark.parametrize(
    "answer",
    [None, b"HTTP/1.1 200 OK\r\nX-A: b" + DRIP, http(b'{"items": [ ', length=1_000_000) + DRIP],
    ids=["silence", "a head that never ends", "a body that never ends"],
)
def test_who_does_not_come_to_an_end_is_not_waited_for(tmp_path: Path, answer: bytes | None) -> None:
    shop = Shop(tmp_path)
    try:
        created(shop.orders, ORDER)
        shop.users.answer = shop.products.answer = answer
        assert_refused_in_time(shop)
        # Those that hang go on hanging; new connections are answered.
        shop.users.answer, shop.products.answer = page(USER), page(PRODUCT)
        wait_until(lambda: post(shop.orders, ORDER).status_code == 201, timeout=10, what="an order again")
    finally:
        shop.close()


STREAMS = {
    "informational answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "early hints": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"),
    "fields": (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
    "one field": (b"HTTP/1.1 200 OK\r\nX-A: ", b"a"),
    "folded fields": (b"HTTP/1.1 200 OK\r\nX-A: a\r\n", b" a\r\n"),
    "a status line": (b"HTTP/1.1 200 ", b"O"),
    "a body": (b"HTTP/1.1 200 OK\r\n\r\n", b"[" * 1000),
    "white space": (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", b" "),
    "tiny chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "chunk extensions": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"a"),
    "one chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n", b" "),
    "trailers": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n \r\n0\r\n", b"X-A: b\r\n"),
    "answers": (b"", http(b'{"items": []}', status="500 Oops").replace(b"Connection: close", b"Connection: keep-alive")),
}  # fmt: skip


@pytest.mark.parametrize("case", STREAMS)
def test_who_answers_without_end_and_without_a_pause_keeps_nobody_waiting(sound: Shop, case: str) -> None:
    before, memory = rows(sound.orders), sound.orders.resident_mb()
    sound.users.endless = STREAMS[case]
    try:
        with ThreadPoolExecutor(1) as pool:
            order = pool.submit(timed, lambda: post(sound.orders, ORDER))
            slowest = 0.0
            while not order.done():
                answer, took = timed(lambda: send(sound.orders, "GET", "/livez"))
                assert answer.status_code == 200
                slowest = max(slowest, took)
        answer, took = order.result()
    finally:
        sound.users.endless = (b"", b"")
    refused(answer, "dependency-unavailable")
    assert took < LOOKUP_TIMEOUT_S + SLACK_S
    assert slowest < SLACK_S
    assert sound.users.asked
    assert rows(sound.orders) == before
    assert sound.orders.resident_mb() - memory < 40


def test_a_failed_attempt_is_repeated_within_the_deadline(sound: Shop) -> None:
    counted = {
        outcome: metric(sound.orders, "lookup_attempts_total", dependency="users", outcome=outcome)
        for outcome in ("ok", "failed")
    }
    sound.users.first = [b"nonsense", http(b"{}", status="500 Oops")]
    assert post(sound.orders, ORDER).status_code == 201
    assert sound.users.asked == ["/users?ids=1"] * 3
    assert sound.products.asked == ["/products?ids=1"]
    assert metric(sound.orders, "lookup_attempts_total", dependency="users", outcome="ok") == counted["ok"] + 1
    assert metric(sound.orders, "lookup_attempts_total", dependency="users", outcome="failed") == counted["failed"] + 2


def test_an_open_circuit_asks_no_more_and_closes_by_itself(tmp_path: Path) -> None:
    users, products = Fake(b"nonsense"), Fake(page(PRODUCT))
    env = {"USERS_URL": users.url, "PRODUCTS_URL": products.url, "BREAKER_COOLDOWN": "2", "BREAKER_FAILURES": "3"}
    orders = Process("orders", "orders_service.app:create_app()", tmp_path, env).start()
    try:
        for _ in range(3):
            refused(post(orders, ORDER), "dependency-unavailable")
        assert len(users.asked) == 3
        assert metric(orders, "lookup_attempts_total", dependency="users", outcome="failed") == 3
        assert metric(orders, "lookup_circuit_open", dependency="users") == 1
        assert metric(orders, "lookup_circuit_open", dependency="products") == 0
        users.answer = page(USER)
        wait_until(lambda: post(orders, ORDER).status_code == 201, timeout=10, what="an order")
        assert len(users.asked) == 4
        assert metric(orders, "lookup_circuit_open", dependency="users") == 0
        assert len(everything(orders)) == 1
    finally:
        users.close()
        products.close()
        orders.stop()


def test_ids_are_asked_for_once_and_in_one_request(sound: Shop) -> None:
    items = [ORDER, ORDER, ORDER | {"user_id": 3}, ORDER | {"user_id": 2, "product_id": 7}]
    post(sound.orders, {"items": items}, "/batch")
    assert sound.users.asked == ["/users?ids=1,2,3"]
    assert sound.products.asked == ["/products?ids=1,7"]


def test_the_longest_ids_are_split_into_requests_that_can_be_read(sound: Shop) -> None:
    largest = 2**63 - 1
    items = [ORDER | {"user_id": largest - number} for number in range(1000)]
    results = post(sound.orders, {"items": items}, "/batch").json()["results"]
    assert [result["status"] for result in results] == [422] * 1000
    asked = [id for path in sound.users.asked for id in path.partition("=")[2].split(",")]
    assert asked == [str(largest - number) for number in reversed(range(1000))]
    assert max(map(len, sound.users.asked)) < 8000


def test_while_a_service_is_down_orders_are_refused_and_after_it_they_are_taken(own_fleet: Fleet) -> None:
    body = new_order(own_fleet)
    order = created(own_fleet.orders, body)
    for process in (own_fleet.users, own_fleet.products):
        process.stop()
        answer, took = timed(lambda: post(own_fleet.orders, body, Idempotency_Key=new_key()))
        assert process.service in refused(answer, "dependency-unavailable")["detail"]
        assert took < 5
        other = "product" if process is own_fleet.users else "user"
        mine = process.service.removesuffix("s")
        for path in (f"/{order['id']}", ""):
            refused(get(own_fleet.orders, f"{path}?expand={mine}"), "dependency-unavailable")
            refused(get(own_fleet.orders, f"{path}?expand=user,product"), "dependency-unavailable")
            assert get(own_fleet.orders, f"{path}?expand={other}").status_code == 200
            assert get(own_fleet.orders, path).status_code == 200
        assert send(own_fleet.orders, "GET", "/readyz").status_code == 200
        assert everything(own_fleet.orders) == [order]
        process.start()
        wait_until(lambda: get(own_fleet.orders, f"?expand={mine}").status_code == 200, what="the other service")  # noqa: B023
    assert created(own_fleet.orders, body)["id"] == cast(int, order["id"]) + 1


def test_a_redirect_is_not_read(sound: Shop) -> None:
    bomb = gzip.compress(bytes(100_000_000), 1)
    peak = sound.orders.peak_mb()
    for answer in (http(bomb, "Location: /x", "Content-Encoding: gzip", status="302 Found"),
                   http(b"", "Location: /x", status="302 Found", length=1 << 40) + b"x" * 10_000_000):  # fmt: skip
        sound.users.answer = answer
        assert_refused_in_time(sound)
    assert sound.orders.peak_mb() - peak < 40


@pytest.mark.parametrize(("session", "kept"), [(Session, 0), (requests.Session, 1)])
def test_no_cookie_is_kept(session: type[requests.Session], kept: int) -> None:
    users = Fake(page(USER).replace(b"Connection: close", b"Set-Cookie: a=b; Path=/\r\nConnection: close"))
    try:
        with session() as asking:
            asking.trust_env = False
            assert asking.get(f"{users.url}/users?ids=1", timeout=10).json()["items"] == [USER]
            assert len(asking.cookies) == kept
    finally:
        users.close()
