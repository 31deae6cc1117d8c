"""Floods of hostile clients, and what other clients see meanwhile. Each flood has its own process and address."""

import itertools
import json
import multiprocessing
import resource
import socket
import statistics
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty
from typing import Any

import apsw
import requests

from testbed import Fleet, Process

HOSTILE, FRIENDLY = "127.0.0.2", "127.0.0.3"  # source addresses: loopback has many
FRIENDS = 4  # threads of well-behaved clients
PATIENCE_S = 30
RESET = struct.pack("ii", 1, 0)
MIB = 1 << 20
Attack = Callable[["Place", int, threading.Event, Counter[str]], None]


@dataclass(frozen=True)
class Place:
    """The target of an attack and its source address."""

    port: int
    source: str
    orders: int = 0  # the id below which there are orders

    def connect(self) -> socket.socket:
        """Return a connection that buffers little of the answers."""
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(PATIENCE_S)
        connection.bind((self.source, 0))
        connection.connect(("127.0.0.1", self.port))
        return connection


def hold(place: Place, count: int, over: threading.Event, seen: Counter[str], sent: bytes, drip: bytes = b"") -> None:
    """Open `count` connections, send each `sent`, then `drip` once a second. Open closed ones again."""
    connections: list[socket.socket | None] = [None] * count
    while not over.is_set():
        began = time.monotonic()
        for index, connection in enumerate(connections):
            try:
                if connection is None:
                    connections[index] = connection = place.connect()
                    seen["opened"] += 1
                    connection.sendall(sent)
                elif drip:
                    connection.sendall(drip)
                connection.setblocking(False)
                try:
                    if connection.recv(1) == b"":
                        raise ConnectionResetError
                except BlockingIOError:
                    pass
                connection.settimeout(PATIENCE_S)
            except OSError:
                if connection is not None:
                    connection.close()
                connections[index] = None
            if over.is_set():
                break
        over.wait(max(0.0, 1 - (time.monotonic() - began)))


def in_threads(count: int, run: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=run, args=(index,), daemon=True) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def ask(place: Place, count: int, over: threading.Event, seen: Counter[str], requests_: Callable[[], bytes]) -> None:
    """Send requests over `count` connections as fast as they are answered; `seen` counts the statuses."""

    def run(_index: int) -> None:
        connection: socket.socket | None = None
        while not over.is_set():
            try:
                if connection is None:
                    connection = place.connect()
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
                sending = threading.Thread(target=quietly, args=(connection.sendall, requests_()), daemon=True)
                sending.start()
                seen[read_answer(connection)] += 1
                sending.join()
            except OSError:
                seen["closed"] += 1
                if connection is not None:
                    connection.close()
                connection = None
                over.wait(0.01)

    in_threads(count, run)


def quietly(send: Callable[[bytes], None], data: bytes) -> None:
    with suppress(OSError):
        send(data)


def read_answer(connection: socket.socket) -> str:
    """Read one answer by its Content-Length and return its status."""
    received = b""
    while b"\r\n\r\n" not in received:
        if not (piece := connection.recv(1 << 16)):
            raise ConnectionResetError
        received += piece
    head, _, rest = received.partition(b"\r\n\r\n")
    left = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0) - len(rest)
    while left > 0:
        if not (piece := connection.recv(min(left, 1 << 16))):
            raise ConnectionResetError
        left -= len(piece)
    return head[9:12].decode()


def post(path: bytes, body: bytes, *fields: bytes) -> bytes:
    head = [b"POST " + path + b" HTTP/1.1", b"Host: x", b"Content-Type: application/json", *fields]
    return b"\r\n".join([*head, b"Content-Length: %d" % len(body), b"", body])


def get(path: bytes) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n"


def silent(place: Place, count: int, over: threading.Event, seen: Counter[str]) -> None:
    hold(place, count, over, seen, b"")


def stalled_headers(place: Place, count: int, over: threading.Event, seen: Counter[str]) -> None:
    hold(place, count, over, seen, b"GET /users HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"a")


def stalled_bodies(place: Place, count: int, over: threading.Event, seen: Counter[str]) -> None:
    hold(place, count, over, seen, post(b"/users", b" " * 10_000)[:-9_000], b" ")


def slow_readers(place: Place, count: int, over: threading.Event, seen: Counter[str]) -> None:
    hold(place, count, over, seen, get(b"/users?limit=1000"))


def everything_stalled(place: Place, count: int, over: threading.Event, seen: Counter[str]) -> None:
    """At full size: 1,000 stalled headers, 1,000 stalled bodies, 500 slow readers."""
    parts = [(stalled_headers, count), (stalled_bodies, count), (slow_readers, count // 2)]
    in_threads(3, lambda index: parts[index][0](place, parts[index][1], over, seen))


def connections(place: Place, count: int, over: threading.Event, seen: Counter[str]) -> None:
    """Connect and disconnect again and again."""

    def run(_index: int) -> None:
        while not over.is_set():
            try:
                connection = place.connect()
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)  # else its port is taken for a minute
                connection.close()
                seen["connected"] += 1
            except OSError:
                seen["refused"] += 1
                over.wait(0.01)

    in_threads(count, run)


def large_bodies(place: Place, count: int, over: threading.Event, seen: Counter[str]) -> None:
    """Bodies of a mebibyte that cost most to parse."""
    bodies = [
        post(b"/users", b"[" + b"[]," * (MIB // 3 - 1) + b"[]]"),
        post(b"/users", b"{" + b",".join(b'"%x":0' % number for number in range(MIB // 10)) + b"}"),
        post(b"/users", b"[" + b"1.1," * (MIB // 4 - 1) + b"1]"),
        post(b"/users", b"1" * MIB),
    ]
    turns = itertools.cycle(bodies)
    ask(place, count, over, seen, lambda: next(turns))


def too_large_bodies(place: Place, count: int, over: threading.Event, seen: Counter[str]) -> None:
    """Bodies of sixteen mebibytes, refused by their length and sent all the same."""
    body = post(b"/users", b" " * (16 * MIB))
    ask(place, count, over, seen, lambda: body)


def stalled_large_bodies(place: Place, count: int, over: threading.Event, seen: Counter[str]) -> None:
    """Bodies of a mebibyte without their last byte."""
    hold(place, count, over, seen, post(b"/users", b" " * MIB)[:-1])


def tiny_chunks(place: Place, count: int, over: threading.Event, seen: Counter[str]) -> None:
    """Bodies of a mebibyte in chunks of one byte."""
    head = b"POST /users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = head + b"1\r\n \r\n" * MIB + b"0\r\n\r\n"
    ask(place, count, over, seen, lambda: body)


def batches(place: Place, count: int, over: threading.Event, seen: Counter[str]) -> None:
    """A thousand wrong items: a small request with a large answer."""
    body = post(b"/users/batch", json.dumps({"items": [{}] * 1000}).encode())
    ask(place, count, over, seen, lambda: body)


def keys(place: Place, count: int, over: threading.Event, seen: Counter[str]) -> None:
    """Writes, each with its own key."""
    numbers = itertools.count()

    def write() -> bytes:
        number = next(numbers)
        body = b'{"name":"Flood","email":"flood-%d@example.com"}' % number
        return post(b"/users", body, b"Idempotency-Key: flood-%d" % number)

    ask(place, count, over, seen, write)


def lists(place: Place, count: int, over: threading.Event, seen: Counter[str]) -> None:
    """The longest lists, expanded."""
    ask(place, count, over, seen, lambda: get(b"/orders?limit=1000&expand=user,product"))


def ids(place: Place, count: int, over: threading.Event, seen: Counter[str]) -> None:
    """Lists of as many ids as are allowed."""
    path = b"/users?ids=" + b",".join(b"%d" % id for id in range(1, 501))
    ask(place, count, over, seen, lambda: get(path))


def queries(place: Place, count: int, over: threading.Event, seen: Counter[str]) -> None:
    """The longest queries, with as many parameters as fit."""
    path = b"/users?" + b"&".join(b"%x=" % number for number in range(1500))
    ask(place, count, over, seen, lambda: get(path))


def pipelines(place: Place, count: int, over: threading.Event, seen: Counter[str]) -> None:
    """Endless requests whose answers are not read."""
    hold(place, count, over, seen, get(b"/users?limit=100") * 200, get(b"/users?limit=100") * 20)


@dataclass(frozen=True)
class Flood:
    """One kind of attack, its target service and its connections at full size."""

    attack: Attack
    service: str
    count: int

    @property
    def name(self) -> str:
        return self.attack.__name__.replace("_", " ")


FLOODS = [
    Flood(silent, "users", 1300), Flood(stalled_headers, "users", 1000), Flood(stalled_bodies, "users", 1000), Flood(slow_readers, "users", 1000),
    Flood(everything_stalled, "users", 1000), Flood(connections, "users", 16), Flood(large_bodies, "users", 64), Flood(too_large_bodies, "users", 32),
    Flood(stalled_large_bodies, "users", 500), Flood(tiny_chunks, "users", 16), Flood(batches, "users", 64), Flood(keys, "users", 64),
    Flood(lists, "orders", 64), Flood(ids, "users", 64), Flood(queries, "users", 64), Flood(pipelines, "users", 200),
]  # fmt: skip


@dataclass
class Seen:
    """Measurements during a flood: times in seconds, memory in MB."""

    name: str
    count: int
    livez: list[float]
    friends: list[float]
    failed: Counter[str]  # requests of the friends
    memory: float
    refused: int  # of those, answered 503
    hostile: Counter[str]  # answers to the flood's requests
    internal: int  # answers of 500
    stray_rows: int  # written without an acknowledgement to a friend

    def p99(self) -> float:
        return statistics.quantiles(self.friends, n=100)[98]

    def line(self) -> str:
        told = ", ".join(f"{what} {count}" for what, count in sorted(self.hostile.items()))
        return (
            f"| {self.name} | {self.count:,} | {max(self.livez) * 1000:.0f} ms of {len(self.livez)}"
            f" | {self.p99() * 1000:.0f} ms of {len(self.friends):,} | {self.refused} | {sum(self.failed.values())}"
            f" | {self.memory:.0f} MB | {self.internal} | {self.stray_rows} | {told} |"
        )


HEADINGS = (
    "| flood | connections | slowest `/livez` | p99 of others | refused (503) | failed | peak memory | 500s | stray rows | hostile requests |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def attack_in_process(flood: Flood, place: Place, count: int, begun: Any, over: Any, told: Any) -> None:
    """Run an attack in its process until `over`."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    seen: Counter[str] = Counter()
    stop = threading.Event()
    threading.Thread(target=flood.attack, args=(place, count, stop, seen), daemon=True).start()
    begun.set()
    over.wait()
    stop.set()
    told.put(seen.copy())


def friend_session(own_address: bool) -> requests.Session:
    """Return a client with an address of its own, or else one that opens a connection for each request."""
    session = requests.Session()
    session.trust_env = False
    if own_address:
        adapter = requests.adapters.HTTPAdapter()
        adapter.init_poolmanager(4, 4, source_address=(FRIENDLY, 0))
        session.mount("http://", adapter)
    else:
        session.headers["Connection"] = "close"
    return session


def run(fleet: Fleet, flood: Flood, count: int, seconds: float, own_address: bool = True) -> Seen:
    """Flood a service for some seconds and return the measurements."""
    target: Process = getattr(fleet, flood.service)
    before = rows(fleet)
    written: Counter[str] = Counter()
    seen = Seen(flood.name, count, [], [], Counter(), 0.0, 0, Counter(), 0, 0)
    over = threading.Event()
    spawn = multiprocessing.get_context("spawn")
    begun, ended, told = spawn.Event(), spawn.Event(), spawn.Queue()
    place = Place(target.port, HOSTILE if own_address else FRIENDLY)
    process = spawn.Process(target=attack_in_process, args=(flood, place, count, begun, ended, told), daemon=True)

    def probe() -> None:
        while not over.is_set():
            began = time.monotonic()
            try:
                status = requests.get(f"{target.url}/livez", timeout=PATIENCE_S).status_code
                seen.failed[f"/livez {status}"] += status != 200
            except requests.RequestException as error:
                seen.failed[f"/livez {type(error).__name__}"] += 1
            seen.livez.append(time.monotonic() - began)
            seen.memory = max(seen.memory, target.resident_mb())
            over.wait(0.05)

    def go_on(index: int) -> None:
        session = friend_session(own_address)
        for number in itertools.count():
            if over.is_set():
                return
            email = f"friend-{before['users']}-{index}-{number}@example.com"
            for service, body in (
                ("users", {"name": "Friend", "email": email}),
                ("orders", {"user_id": 1, "product_id": 1, "quantity": 1}),
            ):
                url = f"{getattr(fleet, service).url}/{service}"
                began = time.monotonic()
                try:
                    made = session.post(url, json=body, timeout=PATIENCE_S)
                    seen.friends.append(time.monotonic() - began)
                    written[service] += made.status_code == 201
                    if made.status_code == 503:
                        seen.refused += 1
                        continue
                    if made.status_code != 201:
                        seen.failed[made.text[:100]] += 1
                        continue
                    began = time.monotonic()
                    read = session.get(f"{url}/{made.json()['id']}", timeout=PATIENCE_S)
                    seen.friends.append(time.monotonic() - began)
                    seen.failed[read.text[:100]] += read.status_code != 200
                except requests.RequestException as error:
                    seen.failed[type(error).__name__] += 1

    threads = [threading.Thread(target=probe), *(threading.Thread(target=go_on, args=(n,)) for n in range(FRIENDS))]
    process.start()
    assert begun.wait(PATIENCE_S)
    for thread in threads:
        thread.start()
    try:
        time.sleep(seconds)  # the flood lasts
    finally:
        over.set()
        for thread in threads:
            thread.join()
        ended.set()
        try:
            seen.hostile = told.get(timeout=PATIENCE_S)
        except Empty:
            seen.hostile["the flood did not end"] = 1
        process.join(5)
        process.kill()
    seen.failed = +seen.failed
    seen.internal = sum(process.logged().count('"status":500') for process in fleet.all)
    after = rows(fleet)
    seen.stray_rows = sum((after - before - written).values())
    return seen


def rows(fleet: Fleet) -> Counter[str]:
    """Return the number of rows in each database, without those that the flood of keys may write."""
    found: Counter[str] = Counter()
    for process in fleet.all:
        condition = " WHERE email NOT LIKE 'flood-%'" if process.service == "users" else ""
        db = apsw.Connection(str(process.database), flags=apsw.SQLITE_OPEN_READONLY)
        found[process.service] = db.execute(f"SELECT count(*) FROM {process.service}{condition}").fetchall()[0][0]
        db.close()
    return found


def furnish(fleet: Fleet) -> None:
    """Create a thousand items of each kind with the longest names, for expensive lists."""
    name = "N" * 200
    for service, items in (
        ("users", [{"name": name, "email": f"{'x' * 200}-{number}@example.com"} for number in range(1000)]),
        ("products", [{"name": name, "price": "1.00"}] * 1000),
        ("orders", [{"user_id": number, "product_id": number, "quantity": 1} for number in range(1, 1001)]),
    ):
        url = f"{getattr(fleet, service).url}/{service}/batch"
        answer = requests.post(url, json={"items": items}, timeout=PATIENCE_S).json()
        assert all(result["status"] == 201 for result in answer["results"]), answer["results"][0]


def all_floods(fleet: Fleet, share: float, seconds: float, names: list[str]) -> Iterator[Seen]:
    """Run every flood, or those in `names`, each with `share` of its connections."""
    for flood in FLOODS:
        if not names or flood.attack.__name__ in names:
            yield run(fleet, flood, max(2, int(flood.count * share)), seconds)
