"""A TCP proxy that corrupts answers, and delays or repeats requests, on command.

It runs in a container of the campaign's network. Each gate leads from a port to a service. On port 7000 it takes lines
`gate mode`, sets the gate to that mode, and replies with the number of answers and requests that the gate has disturbed
so far. `gate ?` changes nothing.
"""

import asyncio
import contextlib
import random
import re
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from functools import partial

CONTROL = 7000
GATES = {
    "front-users": (7001, "users"),
    "front-products": (7002, "products"),
    "front-orders": (7003, "orders"),
    "users": (7011, "users"),
    "products": (7012, "products"),
}
LATE_S = 3.0  # seconds; longer than any look-up may take
WRONG = b'{"items":[{"id":"one","name":7}],"next":{}}'
SPOILED = {
    "garbage": bytes(range(256)) * 4,
    "json": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(WRONG), WRONG),
    "error": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
}
ASKED = {"hold", "twice"}  # modes that disturb the requests by POST of the gate GATE_OF_POSTS
GATE_OF_POSTS = "products"
TWICE_S = (0.0, 4.0)  # until a request is delivered again: before or after what comes next
MODES = {"pass", "late", "reset", "swallow", *ASKED, *SPOILED}
LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
modes = dict.fromkeys(GATES, "pass")
hits = dict.fromkeys(GATES, 0)
kept_back = dict.fromkeys(GATES, 0)  # requests that are still to be delivered, late or again
repeats: set[asyncio.Task[None]] = set()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: str | None = None) -> None:
    """Forward what arrives. Data that comes through a `gate` is an answer, which its mode may corrupt."""
    while data := await reader.read(1 << 16):
        mode = modes[gate] if gate else "pass"
        if gate and mode != "pass" and mode not in ASKED:
            hits[gate] += 1
            if mode == "late":
                await asyncio.sleep(LATE_S)
            else:
                # `reset` cuts the answer in the middle, `swallow` sends nothing of it
                writer.write(SPOILED.get(mode, data[: len(data) // 2] if mode == "reset" else b""))
                with contextlib.suppress(OSError):
                    await asyncio.wait_for(writer.drain(), 1)
                if mode == "reset":
                    reset(writer)
                return
        writer.write(data)
        await writer.drain()


async def requests(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield whole requests, as orders sends them: with a length, where they have a body."""
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = LENGTH.search(head)
            yield head + (await reader.readexactly(int(length[1])) if length else b"")


async def pump_requests(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: str) -> None:
    """Forward requests; those by POST may be late, or come twice."""
    async for request in requests(reader):
        mode = modes[gate] if request.startswith(b"POST") else "pass"
        hits[gate] += mode in ASKED
        if mode == "twice":
            repeats.add(task := asyncio.create_task(repeat(gate, request)))
            task.add_done_callback(repeats.discard)
        with keeping_back(gate):
            if mode == "hold":
                await asyncio.sleep(LATE_S)  # who asked has given up by then, and has said so on another connection
            writer.write(request)
            await writer.drain()


@contextlib.contextmanager
def keeping_back(gate: str) -> Iterator[None]:
    """Count a request as kept back until it is delivered, or never will be."""
    kept_back[gate] += 1
    try:
        yield
    finally:
        kept_back[gate] -= 1


async def repeat(gate: str, request: bytes) -> None:
    """Deliver a request once more, after a while, on a connection of its own; nobody reads the answer."""
    with contextlib.suppress(OSError), keeping_back(gate):
        await asyncio.sleep(random.uniform(*TWICE_S))
        reader, writer = await asyncio.open_connection(f"{GATES[gate][1]}.inside", 8000)
        writer.write(request)
        await writer.drain()
        await reader.read(1 << 16)
        writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """Make the connection end with RST instead of FIN."""
    lingering = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingering)


async def serve(gate: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection until either side ends it."""
    with contextlib.suppress(OSError):
        their_reader, their_writer = await asyncio.wait_for(
            asyncio.open_connection(f"{GATES[gate][1]}.inside", 8000), 5
        )
        ask = pump_requests(reader, their_writer, gate) if gate == GATE_OF_POSTS else pump(reader, their_writer)
        tasks = [asyncio.create_task(ask), asyncio.create_task(pump(their_reader, writer, gate))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            their_writer.close()
    writer.close()


async def control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Set modes and report counts. `pass` is answered when everything that was kept back has been delivered."""
    while line := await reader.readline():
        gate, mode = line.decode().split()
        if mode in MODES:
            modes[gate] = mode
        while mode == "pass" and kept_back[gate]:
            await asyncio.sleep(0.02)
        writer.write(b"%d\n" % hits[gate])
        await writer.drain()
    writer.close()


async def main() -> None:
    """Serve until killed."""
    for gate, (port, _) in GATES.items():
        await asyncio.start_server(partial(serve, gate), "0.0.0.0", port)  # noqa: S104
    await (await asyncio.start_server(control, "0.0.0.0", CONTROL)).serve_forever()  # noqa: S104


if __name__ == "__main__":
    asyncio.run(main())
