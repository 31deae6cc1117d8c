"""The faults. Each is a generator: it injects the fault, yields a proof that it happened, and heals it.

It yields (proof, since). The time to ready counts from `since`; None means from the healing. The proof comes from the
engine, the proxy or the service. `felt` tells which requests of the load met the fault.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import requests

from .history import Try
from .judge import READY_S
from .system import SERVICES, NotHappened, System, wait_until

SEEN_S = 30.0  # seconds within which a fault must show
PAUSE_S = 2.0
LONG_PAUSE_S = 11.0  # seconds; the load generator, the most patient client, waits 10
STALL_S = 65.0  # seconds; gunicorn replaces a worker that is silent for 60
CUT_S = 1.5
UNPLUG_S = 4.0  # seconds; a look-up may take 2, an order 5
SPOIL_S = 1.5
MOST_TENANTS = 12
BACK_S = 7200
Proof = tuple[str, float | None]
Strike = Iterator[Proof]


@dataclass(frozen=True)
class Fault:
    """A fault and its properties."""

    name: str
    service: str
    strike: Callable[[Any], Strike]  # of the System that the campaign runs on
    felt: Callable[[Try], bool]  # tells whether a request met it
    lasts: float = 0.0  # seconds until it is healed; 0: it is over at once
    wired: bool = False  # needs the proxy or the clocks
    outage: bool = False  # a service that orders asks is away for long enough to check orders meanwhile
    shows_late: bool = False  # requests can meet it only after the healing
    alone: bool = False  # never in a pair
    ready_s: float = READY_S  # within which everything must be ready again
    flawless: bool = False  # no request may fail because of it


def unanswered(service: str) -> Callable[[Try], bool]:
    """Match a request without any answer, of `service` or of `all`."""
    return lambda tried: tried.outcome == "unknown" and not tried.status and service in (tried.service, "all")


def late(service: str, seconds: float) -> Callable[[Try], bool]:
    """Match a request that waited for `seconds` or longer."""
    return lambda tried: tried.service == service and (tried.ms or 0.0) >= seconds * 1000


def refused(service: str, problem: str) -> Callable[[Try], bool]:
    """Match a request that was refused with this problem."""
    return lambda tried: tried.service == service and tried.problem == problem


def accepted(tried: Try) -> bool:
    """Match a new order: its reserve went through the proxy."""
    return tried.service == "orders" and tried.method == "POST" and tried.outcome == "ok" and not tried.replayed


def answered_again(service: str) -> Callable[[Try], bool]:
    """Match a write whose answer was lost: sent again, it got the first answer."""
    return lambda tried: tried.service == service and tried.replayed and tried.retried


def dated_back(service: str) -> Callable[[Try], bool]:
    """Match a write that is dated an hour or more ago."""
    return lambda tried: tried.service == service and tried.behind() > BACK_S / 2


def kill(service: str, system: System) -> Strike:
    """Kill all processes of the container by SIGKILL. Its restart policy brings it back."""
    before, since = system.started_at(service), time.monotonic()
    # From inside: the engine does not restart a container that `docker kill` ended.
    script = "import os; os.kill(-1, 9)"
    with suppress(NotHappened):  # the exec is killed, too
        system.docker("exec", system.container(service), "python", "-I", "-S", "-c", script)
    after = wait_until(lambda: (at := system.started_at(service)) != before and at, SEEN_S, f"{service} started again")
    yield f"{service} started at {before}, then {after}", since


def restart(services: tuple[str, ...], system: System) -> Strike:
    """Stop and start one service after the other, as in a rolling release."""
    codes = []
    for service in services:
        system.docker("stop", "-t", "30", system.container(service))
        if (code := system.inspect(service)["State"]["ExitCode"]) != 0:
            raise NotHappened(f"{service} did not stop cleanly: exit status {code}")
        codes.append(f"{service} exited 0")
        system.docker("start", system.container(service))
        since = time.monotonic()
        wait_until(partial(system.ready, service), SEEN_S, f"{service} ready")
    yield ", ".join(codes), since


def pause(service: str, seconds: float, system: System) -> Strike:
    """Freeze all processes for a while."""
    container = system.container(service)
    system.docker("pause", container)
    try:
        if not system.inspect(service)["State"]["Paused"]:
            raise NotHappened(f"{service} is not paused")
        began = time.monotonic()
        yield f"{service} stood still for {seconds:g} s", None
        time.sleep(max(0.0, began + seconds - time.monotonic()))
    finally:
        system.docker("unpause", container)


def cut(service: str, system: System) -> Strike:
    """Disconnect the container from both networks, and connect it again under its names."""
    container = system.container(service)
    system.docker("network", "disconnect", system.front, container)
    system.docker("network", "disconnect", system.inside, container)
    try:
        if networks := system.inspect(service)["NetworkSettings"]["Networks"]:
            raise NotHappened(f"{service} is still in {', '.join(networks)}")
        began = time.monotonic()
        yield f"{service} had no address for {CUT_S:g} s", None
        time.sleep(max(0.0, began + CUT_S - time.monotonic()))
    finally:
        names = ("--alias", service, "--alias", f"{service}.inside")
        system.docker("network", "connect", *names, system.inside, container)
        system.docker("network", "connect", system.front, container)


def unplug(service: str, system: System) -> Strike:
    """Take its network interfaces down and up again. Addresses stay the same, and connections stay open."""
    container, networks = system.container(service), system.inspect(service)["NetworkSettings"]["Networks"]
    gateway = networks[system.front]["Gateway"]
    address = system.address(service)

    def inside(command: str) -> str:
        image = f"{system.project}-chaos"
        joined = ("--network", f"container:{container}", "--cap-add", "NET_ADMIN")
        return system.docker("run", "--rm", *joined, image, "sh", "-c", command)

    each = (
        'for link in $(ip -br link | awk \'$1 != "lo" {sub(/@.*/, "", $1); print $1}\'); do ip link set $link %s; done'
    )
    try:
        said = inside(f"{each % 'down'}; ip link show")
        if said.count("state DOWN") != len(networks):
            raise NotHappened(f"the interfaces of {service} are not down: {said}")
        began = time.monotonic()
        yield f"the interfaces of {service} were down for {UNPLUG_S:g} s, its address {address}", None
        time.sleep(max(0.0, began + UNPLUG_S - time.monotonic()))
    finally:
        inside(f"{each % 'up'}; ip route replace default via {gateway}")
    if system.address(service) != address:
        raise NotHappened(f"{service} has another address than before")


def recreate(service: str, system: System) -> Strike:
    """Replace the container by a new one with the same data and another address."""
    before = system.address(service)
    tenants: list[str] = []  # they occupy free addresses: the engine would give the old one out again
    system.compose("rm", "-sf", service)
    image = f"{system.project}-chaos"
    try:
        while before not in map(system.address_of, tenants) and len(tenants) < MOST_TENANTS:
            tenants.append(f"{system.project}-tenant-{len(tenants)}")
            system.docker(
                "run", "-d", "--init", "--name", tenants[-1], "--network", system.inside, image, "sleep", "60"
            )
        system.compose("up", "-d", "--no-deps", "--no-build", service)
    finally:
        system.docker("rm", "-f", *tenants)
    after, since = system.address(service), time.monotonic()
    if not after or after == before:
        raise NotHappened(f"{service} has the address {after or 'none'} again")
    yield f"{service} moved from {before} to {after}", since


def fill(service: str, system: System) -> Strike:
    """Fill its disk to the last byte, and free it again."""
    try:
        disk = f"/disks/{service}"
        system.in_chaos(f"dd if=/dev/zero of={disk}/filler bs=1M 2>/dev/null || true")
        free = system.in_chaos(f"df -B1 --output=avail {disk} | tail -1").strip()
        if free != "0":
            raise NotHappened(f"{free} bytes are left on the disk of {service}")
        url = f"{system.url(service)}/readyz"
        wait_until(lambda: requests.get(url, timeout=5).status_code == 503, SEEN_S, f"{service} not ready")
        yield f"0 bytes left, /readyz of {service} answers 503", None
    finally:
        system.in_chaos(f"rm -f /disks/{service}/filler")


def spoil(gate: str, mode: str, system: System, what: str = "answers") -> Strike:
    """Let the proxy corrupt the answers that come through a gate, or disturb the `what` that go through it."""
    before = system.proxy(gate, mode)
    try:
        began = time.monotonic()
        wait_until(lambda: system.proxy(gate, "?") > before, SEEN_S, f"{what} of {gate} that met the proxy ({mode})")
        yield f"{what} of {gate} met the proxy ({mode})", None
        time.sleep(max(0.0, began + SPOIL_S - time.monotonic()))
    finally:
        system.proxy(gate, "pass")


def set_clock_back(service: str, system: System) -> Strike:
    """Set the clock of a service two hours back, and later right again, which is a jump forward."""

    def behind() -> float:
        date = requests.get(f"{system.url(service)}/livez", timeout=5).headers["Date"]
        return time.time() - parsedate_to_datetime(date).timestamp()

    try:
        system.in_chaos(f"echo -{BACK_S} >/chaos/clock-{service}")
        wait_until(lambda: behind() > BACK_S / 2, SEEN_S, f"the clock of {service} back")
        began = time.monotonic()
        yield f"the clock of {service} was {behind():.0f} s behind", None
        time.sleep(max(0.0, began + SPOIL_S - time.monotonic()))
    finally:
        system.in_chaos(f"echo +0 >/chaos/clock-{service}")


def _all() -> Iterator[Fault]:
    for name in SERVICES:
        needed = name != "orders"
        lost, away = unanswered(name), refused("orders", "dependency-unavailable")
        yield Fault(f"kill-{name}", name, partial(kill, name), lost)
        yield Fault(f"restart-{name}", name, partial(restart, (name,)), lost)
        yield Fault(f"pause-{name}", name, partial(pause, name, PAUSE_S), late(name, PAUSE_S / 2), PAUSE_S)
        for kind, seconds in (("long-pause", LONG_PAUSE_S), ("stall", STALL_S)):
            strike = partial(pause, name, seconds)
            yield Fault(f"{kind}-{name}", name, strike, lost, seconds, outage=needed, alone=True)
        yield Fault(f"cut-{name}", name, partial(cut, name), lost, CUT_S)
        yield Fault(f"unplug-{name}", name, partial(unplug, name), late(name, UNPLUG_S / 2), UNPLUG_S, outage=needed)
        yield Fault(f"recreate-{name}", name, partial(recreate, name), lost)
        # Alone: during another outage the load writes little, and the log still has space from before.
        full = refused(name, "storage-unavailable")
        yield Fault(f"disk-full-{name}", name, partial(fill, name), full, SPOIL_S, alone=True)
        back = partial(set_clock_back, name)
        yield Fault(f"clock-back-{name}", name, back, dated_back(name), SPOIL_S, wired=True)
        swallow = partial(spoil, f"front-{name}", "swallow")
        again = answered_again(name)
        yield Fault(f"answers-lost-{name}", name, swallow, again, SPOIL_S, wired=True, shows_late=True)
        for mode in ("late", "reset", "garbage", "json", "error"):
            if needed:
                yield Fault(f"{mode}-{name}", name, partial(spoil, name, mode), away, SPOIL_S, wired=True, outage=True)
    # Of limited products. Orders asks products for units by POST, and tells it by POST what became of them.
    gave_up = refused("orders", "dependency-unavailable")
    lose = partial(spoil, "products", "swallow")
    yield Fault("reserve-lost-products", "products", lose, gave_up, SPOIL_S, wired=True, outage=True)
    hold = partial(spoil, "products", "hold", what="requests")
    yield Fault("reserve-late-products", "products", hold, gave_up, SPOIL_S, wired=True)
    double = partial(spoil, "products", "twice", what="requests")
    yield Fault("reserve-twice-products", "products", double, accepted, SPOIL_S, wired=True)
    yield Fault("restart-all", "all", partial(restart, SERVICES), unanswered("all"), alone=True)


FAULTS = {fault.name: fault for fault in _all()}
SHORT = (
    "kill-users",
    "kill-orders",
    "restart-orders",
    "pause-products",
    "long-pause-users",
    "cut-products",
    "unplug-users",
    "restart-all",
    "recreate-users",
    "disk-full-orders",
    "clock-back-orders",
    "answers-lost-orders",
    "late-users",
    "reset-products",
    "garbage-users",
    "json-products",
    "error-users",
    "reserve-lost-products",
    "reserve-late-products",
    "reserve-twice-products",
)
