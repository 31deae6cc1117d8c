"""The faults. Each is a generator: it strikes, proves that it struck, yields the proof, and heals.

It yields (proof, since): `since` is the moment from which the time to ready counts, None where that is the healing.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial

import requests

from .system import SERVICES, NotHappened, System, wait_until

SEEN_S = 15.0  # within which a fault has to show
PAUSE_S, LONG_PAUSE_S = 2.0, 11.0  # the load generator, the most patient, waits 10 s
CUT_S = 1.5
SPOIL_S = 1.5
MOST_TENANTS = 12
BACK_S = 7200
Proof = tuple[str, float | None]
Strike = Iterator[Proof]


@dataclass(frozen=True)
class Fault:
    """A fault by name. `outage`: a service that orders needs is away for long enough to be looked at."""

    name: str
    service: str
    strike: Callable[[System], Strike]
    wired: bool = False
    outage: bool = False
    unknowns: bool = False  # it must leave writes without an answer
    alone: bool = False  # not in pairs


def kill(service: str, system: System) -> Strike:
    """kill -9 of all processes of the container. Its restart policy brings it back."""
    before, since = system.started_at(service), time.monotonic()
    # The engine does not restart what `docker kill` has ended, so the order comes from inside.
    script = "import os; os.kill(-1, 9)"
    with suppress(NotHappened):  # the exec dies with the others
        system.docker("exec", system.container(service), "python", "-I", "-S", "-c", script)
    after = wait_until(lambda: (at := system.started_at(service)) != before and at, SEEN_S, f"{service} started again")
    yield f"{service} started at {before}, then {after}", since


def restart(services: tuple[str, ...], system: System) -> Strike:
    """SIGTERM, one service after the other, each waited for as in a rolling release."""
    codes = []
    for service in services:
        system.docker("stop", "-t", "30", system.container(service))
        if (code := system.inspect(service)["State"]["ExitCode"]) != 0:
            raise NotHappened(f"{service} did not end by itself: exit status {code}")
        codes.append(f"{service} exited 0")
        system.docker("start", system.container(service))
        since = time.monotonic()
        wait_until(partial(system.ready, service), SEEN_S, f"{service} ready")
    yield ", ".join(codes), since


def pause(service: str, seconds: float, system: System) -> Strike:
    """All processes stand still, and go on."""
    container = system.container(service)
    system.docker("pause", container)
    try:
        if not system.inspect(service)["State"]["Paused"]:
            raise NotHappened(f"{service} is not paused")
        began = time.monotonic()
        yield f"{service} paused for {seconds:g} s", None
        time.sleep(max(0.0, began + seconds - time.monotonic()))
    finally:
        system.docker("unpause", container)


def cut(service: str, system: System) -> Strike:
    """Its container leaves the network, and comes back under its name."""
    network, container = f"{system.project}_default", system.container(service)
    system.docker("network", "disconnect", network, container)
    try:
        if system.address(service):
            raise NotHappened(f"{service} is still in the network")
        began = time.monotonic()
        yield f"{service} had no address for {CUT_S:g} s", None
        time.sleep(max(0.0, began + CUT_S - time.monotonic()))
    finally:
        system.docker("network", "connect", "--alias", service, network, container)


def recreate(service: str, system: System) -> Strike:
    """A new container with the same data under another address."""
    before = system.address(service)
    tenants: list[str] = []  # take the addresses that are free, among them the old one, which would be given out again
    system.compose("rm", "-sf", service)
    network, image = f"{system.project}_default", f"{system.project}-chaos"
    try:
        while before not in map(system.address_of, tenants) and len(tenants) < MOST_TENANTS:
            tenants.append(f"{system.project}-tenant-{len(tenants)}")
            system.docker("run", "-d", "--init", "--name", tenants[-1], "--network", network, image, "sleep", "60")
        system.compose("up", "-d", "--no-deps", "--no-build", service)
    finally:
        system.docker("rm", "-f", *tenants)
    after, since = system.address(service), time.monotonic()
    if not after or after == before:
        raise NotHappened(f"{service} has the address {after or 'none'} again")
    yield f"{service} moved from {before} to {after}", since


def fill(service: str, system: System) -> Strike:
    """No byte is left on its disk, and then there is space again."""
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


def spoil(gate: str, mode: str, system: System) -> Strike:
    """The proxy spoils what comes back through a gate."""
    before = system.proxy(gate, mode)
    try:
        began = time.monotonic()
        wait_until(lambda: system.proxy(gate, "?") > before, SEEN_S, f"an answer of {gate} spoiled ({mode})")
        yield f"answers of {gate} spoiled ({mode})", None
        time.sleep(max(0.0, began + SPOIL_S - time.monotonic()))
    finally:
        system.proxy(gate, "pass")


def set_clock_back(service: str, system: System) -> Strike:
    """Two hours back for all processes of a service, then right again (forward: a second jump)."""

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
        yield Fault(f"kill-{name}", name, partial(kill, name))
        yield Fault(f"restart-{name}", name, partial(restart, (name,)))
        yield Fault(f"pause-{name}", name, partial(pause, name, PAUSE_S))
        yield Fault(f"long-pause-{name}", name, partial(pause, name, LONG_PAUSE_S), outage=needed, alone=True)
        yield Fault(f"cut-{name}", name, partial(cut, name))
        yield Fault(f"recreate-{name}", name, partial(recreate, name))
        yield Fault(f"disk-full-{name}", name, partial(fill, name))
        yield Fault(f"clock-back-{name}", name, partial(set_clock_back, name), wired=True)
        swallow = partial(spoil, f"front-{name}", "swallow")
        yield Fault(f"answers-lost-{name}", name, swallow, wired=True, unknowns=True)
        for mode in ("late", "reset", "garbage", "json", "error"):
            if needed:
                yield Fault(f"{mode}-{name}", name, partial(spoil, name, mode), wired=True, outage=True)
    yield Fault("restart-all", "all", partial(restart, SERVICES), alone=True)


FAULTS = {fault.name: fault for fault in _all()}
SHORT = (
    *("kill-users", "kill-orders", "restart-orders", "pause-products", "long-pause-users", "cut-products"),
    *(
        "restart-all",
        "recreate-users",
        "disk-full-orders",
        "clock-back-orders",
        "answers-lost-orders",
        "late-users",
        "reset-products",
    ),
    *("garbage-users", "json-products", "error-users"),
)
