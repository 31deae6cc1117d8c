"""The campaign's proxy, where it delays and repeats requests."""

import asyncio
import importlib.util
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PATH = Path(__file__).parents[2] / "chaos/containers/proxy.py"
POST = b'POST /products/reservations HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n{"a":1}'
GET = b"GET /products?ids=1 HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def proxy() -> ModuleType:
    spec = importlib.util.spec_from_file_location("proxy", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Writer:
    """A connection that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    async def drain(self) -> None: ...


def forwarded(proxy: ModuleType, mode: str, *pieces: bytes) -> list[bytes]:
    """Return what the gate of products forwards of requests that arrive in `pieces`."""
    writer = Writer()

    async def forward() -> None:
        reader = asyncio.StreamReader()
        for piece in pieces:
            reader.feed_data(piece)
        reader.feed_eof()
        proxy.modes["products"] = mode
        await proxy.pump_requests(reader, writer, "products")

    asyncio.run(forward())
    return writer.written


@pytest.mark.parametrize("mode", ["pass", "late", "hold", "twice"])
def test_forwards_whole_requests_whatever_pieces_they_arrive_in(
    proxy: ModuleType, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(proxy, "LATE_S", 0.0)
    monkeypatch.setattr(proxy, "TWICE_S", (9.0, 9.0))
    both = POST + GET + POST
    assert forwarded(proxy, mode, both[:20], both[20:70], both[70:]) == [POST, GET, POST]
    assert proxy.hits["products"] == (2 if mode in ("hold", "twice") else 0)


def test_drops_a_request_that_never_ends(proxy: ModuleType) -> None:
    assert forwarded(proxy, "pass", GET, POST[:-1]) == [GET]


def test_delivers_a_repeated_request_on_a_connection_of_its_own(
    proxy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived: list[bytes] = []
    begin = asyncio.open_connection

    async def both() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            arrived.append(await reader.read(1 << 16))
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)

        async def connect(host: str, _port: int) -> Any:
            assert host == "products.inside"
            return await begin("127.0.0.1", server.sockets[0].getsockname()[1])

        monkeypatch.setattr(proxy.asyncio, "open_connection", connect)
        monkeypatch.setattr(proxy, "TWICE_S", (0.0, 0.0))
        await proxy.repeat("products", POST)
        server.close()

    asyncio.run(both())
    assert arrived == [POST]


@pytest.mark.parametrize("mode", ["hold", "twice"])
def test_tells_that_it_passes_when_nothing_is_kept_back_any_more(
    proxy: ModuleType, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """A request that arrives after the load has ended would change what the audit reads."""
    monkeypatch.setattr(proxy, "LATE_S", 0.3)
    monkeypatch.setattr(proxy, "TWICE_S", (0.3, 0.3))
    delivered: list[float] = []

    class Connection(Writer):
        def write(self, data: bytes) -> None:
            delivered.append(time.monotonic())

        def close(self) -> None: ...

    async def connect(_host: str, _port: int) -> Any:
        reader = asyncio.StreamReader()
        reader.feed_eof()
        return reader, Connection()

    monkeypatch.setattr(proxy.asyncio, "open_connection", connect)

    async def told() -> float:
        requests, orders = asyncio.StreamReader(), asyncio.StreamReader()
        requests.feed_data(POST)
        requests.feed_eof()
        proxy.modes["products"] = mode
        forwarding = asyncio.create_task(proxy.pump_requests(requests, Connection(), "products"))
        await asyncio.sleep(0.05)
        orders.feed_data(b"products pass\n")
        orders.feed_eof()
        await proxy.control(orders, Connection())
        answered = delivered.pop()
        await forwarding
        return answered

    answered = asyncio.run(told())
    assert answered >= max(delivered) and len(delivered) == (1 if mode == "hold" else 2)
