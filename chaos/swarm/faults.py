"""The faults of the stack. Like those of chaos/faults.py, each yields its proof."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from ..faults import PAUSE_S, SEEN_S, Fault, Strike, late, unanswered
from ..replicas.faults import any_of, away, served
from ..system import SERVICES, NotHappened, wait_until
from .system import DATABASES, UPDATE_S, SwarmSystem

LEASE_S = 20.0  # of a primary: patroni.yml
FAILOVER_S = 60.0  # within which everything is ready after a failover
LONG_S = 120.0  # within which a standby is there again that had to be copied
STANDBYS_AWAY_S = 8.0
CUT_OFF_S = 3.0  # of both standbys, while the load goes on
ETCD_AWAY_S = 25.0  # longer than a lease
UNPLUG_S = 30.0


def kill(service: str, system: SwarmSystem) -> Strike:
    """Kill one task by SIGKILL, with all its processes. Swarm starts another."""
    since, before = time.monotonic(), len(system.tasks(service))
    host, container = random.choice(system.tasks(service))
    system.engine(host, "kill", container)
    wait_until(
        lambda: len(now := system.tasks(service)) >= before and (host, container) not in now, SEEN_S, f"a new {service}"
    )
    yield f"{service} {container[:12]} was killed, and another started", since


def kill_database(choose: Callable[[SwarmSystem], str], system: SwarmSystem) -> Strike:
    """Kill a database node with all its processes."""
    yield from kill(choose(system), system)


@contextmanager
def frozen(system: SwarmSystem, *services: str) -> Iterator[None]:
    """Freeze all processes of some services' containers during the block."""
    tasks = [task for service in services for task in system.tasks(service)]
    try:
        for host, container in tasks:
            system.engine(host, "pause", container)
        yield
    finally:
        for host, container in tasks:
            system.engine(host, "unpause", container, check=False)


@contextmanager
def unplugged(system: SwarmSystem, *services: str) -> Iterator[None]:
    """Take the network interfaces of some services' containers down during the block. Needs root."""
    every = (
        'for link in $(ip -br link | awk \'$1 != "lo" {sub(/@.*/, "", $1); print $1}\'); do ip link set $link %s; done'
    )
    spaces = [f"--net=/proc/{system.pid(task)}/ns/net" for service in services for task in system.tasks(service)]
    try:
        for space in spaces:
            system.run("nsenter", space, "--", "sh", "-c", every % "down")
        yield
    finally:
        for space in spaces:
            system.run("nsenter", space, "--", "sh", "-c", every % "up", check=False)


@contextmanager
def lost(system: SwarmSystem, service: str) -> Iterator[None]:
    """Freeze and unplug a service's container: frozen alone, its kernel would go on sending what it had to send."""
    with unplugged(system, service), frozen(system, service):
        yield


def pause(service: str, seconds: float, system: SwarmSystem) -> Strike:
    """Freeze one task for a while."""
    host, container = random.choice(system.tasks(service))
    system.engine(host, "pause", container)
    try:
        began = time.monotonic()
        yield f"{service} {container[:12]} stood still for {seconds:g} s", None
        time.sleep(max(0.0, began + seconds - time.monotonic()))
    finally:
        system.engine(host, "unpause", container, check=False)


def pause_standby(seconds: float, system: SwarmSystem) -> Strike:
    """Freeze the synchronous standby for a while."""
    yield from pause(system.standbys()[0], seconds, system)


def another_leads(system: SwarmSystem, than: str) -> str:
    """Wait until another database node leads, and return its name. Raises NotHappened."""
    return str(
        wait_until(lambda: (name := system.leader()) != than and name, FAILOVER_S, f"another leader than {than}")
    )


def pause_primary(system: SwarmSystem) -> Strike:
    """Freeze the primary until another node leads, which to all others is the death of its machine."""
    since, primary = time.monotonic(), system.primary()
    with frozen(system, primary):
        successor = another_leads(system, primary)
        yield f"{primary} stood still until {successor} led", since


def kill_postmaster(system: SwarmSystem) -> Strike:
    """Kill PostgreSQL on the primary, not Patroni."""
    since, primary = time.monotonic(), system.primary()
    system.execute(system.task(primary), "sh", "-c", "kill -9 $(head -1 /data/postgresql/postmaster.pid)")
    yield f"PostgreSQL of {primary} was killed; {another_leads(system, primary)} led", since


def switch_over(system: SwarmSystem) -> Strike:
    """Hand the lead to the synchronous standby."""
    primary, since = system.primary(), time.monotonic()
    candidate = system.standbys()[0]
    since = time.monotonic()
    system.patronictl(primary, "switchover", "--leader", primary, "--candidate", candidate, "--force")
    wait_until(lambda: system.leader() == candidate, FAILOVER_S, f"{candidate} leads")
    yield f"{primary} handed the lead to {candidate}", since


def pause_standbys(system: SwarmSystem) -> Strike:
    """Freeze both standbys: nothing can be written until one is back."""
    standbys = system.standbys()
    with frozen(system, *standbys):
        began = time.monotonic()
        yield f"{' and '.join(standbys)} stood still for {STANDBYS_AWAY_S:g} s", None
        time.sleep(max(0.0, began + STANDBYS_AWAY_S - time.monotonic()))


def lose_primary_behind_standbys(system: SwarmSystem) -> Strike:
    """Cut both standbys off while the load goes on, then lose the primary for good until one of them leads."""
    primary, standbys = system.primary(), system.standbys()
    with ExitStack() as stack:
        with unplugged(system, *standbys):
            time.sleep(CUT_OFF_S)
            stack.enter_context(lost(system, primary))
        since = time.monotonic()
        yield f"{primary} was lost behind both standbys; {another_leads(system, primary)} led", since


def lose_primary_after_cancelled_waits(system: SwarmSystem) -> Strike:
    """Do the same, and cancel each COMMIT that waits for a standby meanwhile: it then says COMMIT, with a warning."""
    primary, standbys = system.primary(), system.standbys()
    cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    with ExitStack() as stack:
        with unplugged(system, *standbys):
            cancelled = 0
            wait_until(lambda: int(system.sql_on(primary, "postgres", cancel)[0]), SEEN_S, "a COMMIT that waits")
            for _ in range(5):
                time.sleep(0.5)
                cancelled += int(system.sql_on(primary, "postgres", cancel)[0])
            stack.enter_context(lost(system, primary))
        since = time.monotonic()
        led = another_leads(system, primary)
        yield f"{primary} was lost after {1 + cancelled} cancelled waits; {led} led", since


def pause_etcd(number: int, system: SwarmSystem) -> Strike:
    """Freeze nodes of etcd. With two of three, nobody can lead anew, but the primary goes on."""
    names = random.sample(["etcd1", "etcd2", "etcd3"], number)
    with frozen(system, *names):
        began = time.monotonic()
        yield f"{' and '.join(names)} stood still for {ETCD_AWAY_S:g} s", None
        time.sleep(max(0.0, began + ETCD_AWAY_S - time.monotonic()))


def update(services: tuple[str, ...], system: SwarmSystem) -> Strike:
    """Replace all replicas of services, one after the other, as in a release."""
    for service in services:
        before = {container for _, container in system.tasks(service)}
        system.update(service, "--force")
        if before & {container for _, container in system.tasks(service)}:
            raise NotHappened(f"a replica of {service} was not replaced")
    yield f"all replicas of {', '.join(services)} were replaced", time.monotonic()


def scale(service: str, system: SwarmSystem) -> Strike:
    """Scale a service up to four replicas and back to two."""
    for number in (4, 2):
        system.on_manager("service", "scale", "-d", f"{system.project}_{service}={number}")
        wait_until(lambda it=number: len(system.tasks(service)) == it, UPDATE_S, f"{number} replicas")  # type: ignore[misc]
        time.sleep(5)
    yield f"{service} had 4 replicas, then 2", time.monotonic()


def unplug_node(leads: bool, system: SwarmSystem) -> Strike:
    """Take the cable of a node out: that of the primary, or of a standby. Never the first, where the load comes in."""
    assert system.nodes is not None
    primary, others = system.primary(), DATABASES[1:]
    node = primary if leads and primary in others else next(name for name in others if name != primary)
    if leads and node != primary:
        node = system.standbys()[0]
        system.patronictl(primary, "switchover", "--leader", primary, "--candidate", node, "--force")
        wait_until(lambda: system.leader() == node, FAILOVER_S, f"{node} leads")
        system.await_whole()
    number, since = int(node.removeprefix("pg")), time.monotonic()
    system.nodes.unplug(number)
    try:
        began = time.monotonic()
        said = f"node {number} was unplugged"
        yield (f"{said}; {another_leads(system, node)} led" if leads else said), since
        time.sleep(max(0.0, began + UNPLUG_S - time.monotonic()))
    finally:
        system.nodes.unplug(number, up=True)


def _all() -> Iterator[Fault]:
    for name in SERVICES:
        door, met = f"{name}-front", served(name)
        yield Fault(f"kill-{name}", name, partial(kill, name), met)
        yield Fault(f"pause-{name}", name, partial(pause, name, PAUSE_S), late(name, PAUSE_S / 2), lasts=PAUSE_S)
        yield Fault(f"kill-{door}", door, partial(kill, door), unanswered(name))
        yield Fault(f"pause-{door}", door, partial(pause, door, PAUSE_S), late(name, PAUSE_S / 2), lasts=PAUSE_S)
    yield Fault("kill-database-door", "database", partial(kill, "database"), any_of(away, *map(served, SERVICES)))
    yield Fault(
        "pause-database-door",
        "database",
        partial(pause, "database", PAUSE_S),
        any_of(*(late(name, 1) for name in SERVICES)),
        lasts=PAUSE_S,
    )
    everyone = any_of(*map(served, SERVICES))
    slow = any_of(away, *(late(name, 1) for name in SERVICES))
    failover = partial(Fault, alone=True, ready_s=FAILOVER_S)
    yield failover("kill-primary", "pg", partial(kill_database, SwarmSystem.primary), slow)
    yield failover("pause-primary", "pg", pause_primary, slow)
    yield failover("kill-postmaster", "pg", kill_postmaster, slow)
    yield failover("switchover", "pg", switch_over, slow)
    yield failover("kill-standby", "pg", partial(kill_database, lambda system: system.standbys()[0]), everyone)
    yield failover("pause-standby", "pg", partial(pause_standby, 5.0), everyone, lasts=5.0)
    yield failover("pause-standbys", "pg", pause_standbys, away, lasts=STANDBYS_AWAY_S)
    yield failover("lose-primary-behind-standbys", "pg", lose_primary_behind_standbys, slow)
    yield failover("lose-primary-after-cancelled-waits", "pg", lose_primary_after_cancelled_waits, slow)
    yield Fault(
        "kill-etcd",
        "etcd",
        lambda system: kill(random.choice(["etcd1", "etcd2", "etcd3"]), system),
        everyone,
        alone=True,
    )
    yield Fault("pause-etcd", "etcd", partial(pause_etcd, 1), everyone, lasts=ETCD_AWAY_S, alone=True)
    yield failover("pause-two-etcd", "etcd", partial(pause_etcd, 2), everyone, lasts=ETCD_AWAY_S)
    yield Fault("update-all", "all", partial(update, SERVICES), everyone, alone=True, flawless=True)
    yield Fault("scale-orders", "orders", partial(scale, "orders"), served("orders"), alone=True, flawless=True)


def _of_nodes() -> Iterator[Fault]:
    slow = any_of(away, *(late(name, 1) for name in SERVICES))
    for name, leads in (("unplug-primary-node", True), ("unplug-standby-node", False)):
        yield Fault(name, "node", partial(unplug_node, leads), slow, UNPLUG_S, alone=True, ready_s=LONG_S)


FAULTS = {fault.name: fault for fault in _all()}
FAULTS_OF_NODES = FAULTS | {fault.name: fault for fault in _of_nodes()}
SHORT = ("kill-postmaster", "switchover", "kill-orders", "update-all")
SHORT_OF_NODES = ("unplug-primary-node", "unplug-standby-node")
