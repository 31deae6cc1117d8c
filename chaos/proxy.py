"""A TCP proxy that spoils answers when it is told to. Runs in a container of the campaign's network.

Each gate leads from a port to a service. On port 7000 it takes lines `gate mode`, and answers how many answers the gate
has spoiled so far; `gate ?` changes nothing.
"""

import asyncio
import contextlib
import socket
import struct
from functools import partial

CONTROL = 7000
GATES = {
    "front-users": (7001, "users"),
    "front-products": (7002, "products"),
    "front-orders": (7003, "orders"),
    "users": (7011, "users"),
    "products": (7012, "products"),
}
LATE_S = 3.0  # longer than any look-up may take
WRONG = b'{"items":[{"id":"one","name":7}],"next":{}}'
SPOILED = {
    "garbage": bytes(range(256)) * 4,
    "json": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(WRONG), WRONG),
    "error": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
}
MODES = {"pass", "late", "reset", "swallow", *SPOILED}
modes = dict.fromkeys(GATES, "pass")
hits = dict.fromkeys(GATES, 0)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: str | None = None) -> None:
    """Hand on what arrives; what comes through `gate` is an answer, which its mode may spoil."""
    while data := await reader.read(1 << 16):
        mode = modes[gate] if gate else "pass"
        if gate and mode != "pass":
            hits[gate] += 1
            if mode == "late":
                await asyncio.sleep(LATE_S)
            else:
                # `reset` stops in mid-answer, `swallow` keeps all of it
                writer.write(SPOILED.get(mode, data[: len(data) // 2] if mode == "reset" else b""))
                with contextlib.suppress(OSError):
                    await asyncio.wait_for(writer.drain(), 1)
                if mode == "reset":
                    reset(writer)
                return
        writer.write(data)
        await writer.drain()


def reset(writer: asyncio.StreamWriter) -> None:
    """Let the connection end with RST instead of FIN."""
    lingering = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingering)


async def serve(gate: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, until either side ends."""
    with contextlib.suppress(OSError):
        their_reader, their_writer = await asyncio.wait_for(
            asyncio.open_connection(f"{GATES[gate][1]}.inside", 8000), 5
        )
        tasks = [asyncio.create_task(pump(reader, their_writer)), asyncio.create_task(pump(their_reader, writer, gate))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            their_writer.close()
    writer.close()


async def control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Set modes, tell hits."""
    while line := await reader.readline():
        gate, mode = line.decode().split()
        if mode in MODES:
            modes[gate] = mode
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
