"""The faults of replicas, of front doors and of the database. Like those of chaos/faults.py, each yields its proof."""

import random
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial

import requests

from ..faults import CUT_S, PAUSE_S, SEEN_S, Fault, Strike, late, refused, unanswered
from ..history import Try
from ..system import SERVICES, NotHappened, wait_until
from .system import ReplicatedSystem

LONG_PAUSE_S = 11.0  # seconds; longer than any client of the load waits
HOLD_S = 2.0  # seconds that orders wait between look-up and commit
DATABASE_CUT_S = 3.0
KILL = ("sh", "-c", "kill -9 -1")  # all processes but the first, which ends with them; the engine starts it again


def any_of(*felt: Callable[[Try], bool]) -> Callable[[Try], bool]:
    """Match a request that one of the conditions matches."""
    return lambda tried: any(each(tried) for each in felt)


def served(service: str) -> Callable[[Try], bool]:
    """Match any request of a service: a fault that is well hidden is met by requests that are served all the same."""
    return lambda tried: tried.service == service


def away(tried: Try) -> bool:
    """Match a request that the database could not serve."""
    return tried.problem in ("storage-unavailable", "outcome-unknown", "overloaded") or not tried.status


def killed(containers: list[str], system: ReplicatedSystem) -> str:
    """Kill all processes of containers, wait until they have started again, and return the proof."""
    before = {container: system.started(container) for container in containers}
    running = [
        subprocess.Popen(["docker", "exec", container, *KILL], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for container in containers
    ]
    for each in running:
        each.wait()
    for container in containers:
        wait_until(
            lambda it=container: system.started(it) not in ("", before[it]),  # type: ignore[misc]
            SEEN_S,
            f"{container} started again",
        )
    return ", ".join(f"{container} started again" for container in containers)


def kill(service: str, system: ReplicatedSystem) -> Strike:
    """Kill one container of a service by SIGKILL. Its restart policy brings it back."""
    since = time.monotonic()
    yield killed([random.choice(system.replicas(service))], system), since


def kill_between(system: ReplicatedSystem) -> Strike:
    """Kill two replicas of orders whose orders have been checked, and are not written: the turn is held."""
    since = time.monotonic()
    hold = f"BEGIN; SELECT FROM turn FOR UPDATE; SELECT pg_sleep({HOLD_S}); COMMIT"
    command = [
        "docker",
        "exec",
        system.container("database"),
        "psql",
        "-q",
        "-U",
        "postgres",
        "-d",
        "orders",
        "-c",
        hold,
    ]
    holding = subprocess.Popen([*command, "-c", hold], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'orders' AND wait_event_type = 'Lock'"
    try:
        wait_until(lambda: int(system.sql("postgres", waiting)[0]) >= 2, SEEN_S, "two replicas that wait for the turn")
        proof = killed(system.replicas("orders")[:2], system)
    finally:
        holding.wait()
    yield f"two replicas waited for the turn; {proof}", since


def restart(service: str, system: ReplicatedSystem) -> Strike:
    """Stop and start one replica after the other, as in a rolling release."""
    codes = []
    for container in system.replicas(service):
        system.docker("stop", "-t", "30", container)
        codes.append(system.docker("inspect", "-f", "{{.State.ExitCode}}", container).strip())
        system.docker("start", container)
        since = time.monotonic()
        wait_until(lambda it=container: ready(it, system), SEEN_S, f"{container} ready")  # type: ignore[misc]
    if set(codes) != {"0"}:
        raise NotHappened(f"a replica of {service} did not stop cleanly: exit status {codes}")
    yield f"{len(codes)} replicas of {service} exited 0, one after the other", since


def ready(container: str, system: ReplicatedSystem) -> bool:
    """Tell whether a replica itself says that it is ready."""
    try:
        address = system.address_of(container)
        return requests.get(f"http://{address}:8000/readyz", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def pause(service: str, seconds: float, system: ReplicatedSystem) -> Strike:
    """Freeze all processes of one container for a while."""
    container = random.choice(system.replicas(service))
    try:
        system.docker("pause", container)
        began = time.monotonic()
        yield f"{container} stood still for {seconds:g} s", None
        time.sleep(max(0.0, began + seconds - time.monotonic()))
    finally:
        if system.is_paused(container):  # perhaps although the engine has reported a failure
            system.docker("unpause", container)


def cut(service: str, seconds: float, system: ReplicatedSystem) -> Strike:
    """Disconnect one container from its networks, and connect it again under its names."""
    container = random.choice(system.replicas(service))
    networks = system.docker(
        "inspect", "-f", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}", container
    )
    for network in networks.split():
        system.docker("network", "disconnect", network, container)
    try:
        began = time.monotonic()
        yield f"{container} had no address for {seconds:g} s", None
        time.sleep(max(0.0, began + seconds - time.monotonic()))
    finally:
        names = ["--alias", service]
        if service == "database":
            names += ["--alias", "database.data"]
        if service.endswith("-front"):
            names += ["--alias", f"{service.removesuffix('-front')}.inside"]
        for network in sorted(networks.split(), reverse=True):  # `inside` first, as in the beginning
            system.docker("network", "connect", *names, network, container)


def fill(system: ReplicatedSystem) -> Strike:
    """Fill the disk of the database to the last byte, and free it again."""
    chaos = system.container("chaos")
    try:
        system.docker("exec", chaos, "sh", "-c", "dd if=/dev/zero of=/disk/filler bs=1M 2>/dev/null || true")
        free = system.docker("exec", chaos, "sh", "-c", "df -B1 --output=avail /disk | tail -1").strip()
        if free != "0":
            raise NotHappened(f"{free} bytes are left on the disk of the database")
        yield "0 bytes were left on the disk of the database", None
        time.sleep(CUT_S)
    finally:
        system.docker("exec", chaos, "rm", "-f", "/disk/filler")


def scale(service: str, system: ReplicatedSystem) -> Strike:
    """Scale a service down to one replica, up to four, and back."""
    for number in (1, 4):
        system.scale(**{service: number})
        if (found := len(system.replicas(service))) != number:
            raise NotHappened(f"{found} replicas of {service} run, not {number}")
    try:
        yield f"1 replica of {service} ran, then 4", None
    finally:
        system.scale()


def _all() -> Iterator[Fault]:
    for name in SERVICES:
        door, met = f"{name}-front", served(name)
        yield Fault(f"kill-{name}", name, partial(kill, name), met)
        yield Fault(f"restart-{name}", name, partial(restart, name), met)
        yield Fault(f"pause-{name}", name, partial(pause, name, PAUSE_S), late(name, PAUSE_S / 2), lasts=PAUSE_S)
        yield Fault(f"long-pause-{name}", name, partial(pause, name, LONG_PAUSE_S), late(name, 1), lasts=LONG_PAUSE_S)
        yield Fault(f"cut-{name}", name, partial(cut, name, CUT_S), met, lasts=CUT_S)
        yield Fault(f"scale-{name}", name, partial(scale, name), met, alone=True)
        yield Fault(f"kill-{door}", door, partial(kill, door), unanswered(name))
        yield Fault(f"pause-{door}", door, partial(pause, door, PAUSE_S), late(name, PAUSE_S / 2), lasts=PAUSE_S)
        yield Fault(f"cut-{door}", door, partial(cut, door, CUT_S), unanswered(name), lasts=CUT_S)
    yield Fault("kill-two-orders-before-commit", "orders", kill_between, any_of(late("orders", 1), away), alone=True)
    gone = any_of(away, late("orders", 1))
    yield Fault("kill-database", "database", partial(kill, "database"), gone, alone=True)
    yield Fault("pause-database", "database", partial(pause, "database", PAUSE_S), gone, lasts=PAUSE_S)
    long = partial(pause, "database", LONG_PAUSE_S)
    yield Fault("long-pause-database", "database", long, gone, lasts=LONG_PAUSE_S, alone=True)
    yield Fault("cut-database", "database", partial(cut, "database", DATABASE_CUT_S), gone, lasts=DATABASE_CUT_S)
    yield Fault("disk-full-database", "database", fill, refused_by_any("storage-unavailable"), lasts=CUT_S, alone=True)


def refused_by_any(problem: str) -> Callable[[Try], bool]:
    """Match a request of any service that was refused with this problem."""
    return any_of(*(refused(name, problem) for name in SERVICES))


FAULTS = {fault.name: fault for fault in _all()}
SHORT = (
    "kill-orders",
    "kill-users-front",
    "pause-products",
    "cut-users",
    "kill-database",
    "disk-full-database",
    "kill-two-orders-before-commit",
    "scale-orders",
)
