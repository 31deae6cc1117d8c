"""A campaign: which faults in which order, the rounds, and what is looked at meanwhile."""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import requests

from loadgen.ledger import read

from .faults import FAULTS, Fault, Proof
from .files import acknowledged, compare, read_files
from .judge import READY_S, Group, Round, count
from .load import FLOWING, Load
from .system import SERVICES, NotHappened, System, wait_until

UNKNOWN_USER = {"user_id": 2**62, "product_id": 1, "quantity": 1}  # an order that is never written: no audit meets it
GROUP = 12  # rounds under one run of the load
ORDER_DEADLINE_S = 6.0  # two rounds of look-ups of 2 s, a second of patience, and one to answer
READ_DEADLINE_S = 2.0
REFUSED_S = 5.0  # until orders have noticed an outage
MEMORY_MB = 40.0  # that orders may grow by during an outage


def plan(names: Sequence[str], faults: int, seed: int) -> list[list[Fault]]:
    """The rounds: each fault that is named once, then random pairs up to `faults` injections."""
    rng = random.Random(seed)
    rounds = [[FAULTS[name]] for name in names]
    rng.shuffle(rounds)
    pool = [fault for fault in FAULTS.values() if not fault.alone]
    left = faults - len(rounds)
    while left > 0:
        first = rng.choice(pool)
        others = [f for f in pool if f.service != first.service and f.wired == first.wired]
        rounds.append([first, rng.choice(others)][:left])
        left -= len(rounds[-1])
    return rounds


def grouped(rounds: list[list[Fault]]) -> Iterator[tuple[bool, list[list[list[Fault]]]]]:
    """First the rounds on the plain system, then those that need the proxy or the clocks, in groups."""
    for wired in (False, True):
        chosen = [each for each in rounds if any(fault.wired for fault in each) == wired]
        if chosen:
            yield wired, [chosen[start : start + GROUP] for start in range(0, len(chosen), GROUP)]


@contextmanager
def struck(fault: Fault, system: System) -> Iterator[Proof]:
    """The fault, from its strike to its healing."""
    strike = fault.strike(system)
    proof = next(strike)
    try:
        yield proof
    finally:
        next(strike, None)


def watch(system: System, fault: Fault, into: Round) -> None:
    """While a service that orders needs is away: orders are read, refused in time and soundly, and pile up nowhere."""
    url = f"{system.url('orders')}/orders"
    before = system.memory_mb("orders")
    refused = None
    until = time.monotonic() + REFUSED_S
    while refused is None and time.monotonic() < until:
        began = time.monotonic()
        answer = requests.post(url, json=UNKNOWN_USER, timeout=30)
        took = time.monotonic() - began
        if took > ORDER_DEADLINE_S:
            into.violations.append(f"{fault.name}: an order was answered after {took:.1f} s")
        if answer.status_code == 503:
            refused = answer
            if not answer.headers.get("Retry-After", "").isdigit():
                into.violations.append(f"{fault.name}: 503 without Retry-After")
    if refused is None:
        into.trouble.append(f"{fault.name}: no order of the campaign's own was refused with 503")
    read_ = requests.get(f"{url}?limit=5", timeout=30)
    if read_.status_code != 200 or read_.elapsed.total_seconds() > READ_DEADLINE_S:
        took = read_.elapsed.total_seconds()
        into.violations.append(f"{fault.name}: reading orders: status {read_.status_code} after {took:.1f} s")
    if (grown := system.memory_mb("orders") - before) > MEMORY_MB:
        into.violations.append(f"{fault.name}: orders grew by {grown:.0f} MB")


def run_round(system: System, load: Load, faults: list[Fault]) -> Round:
    """Inject, heal, and wait until everything is ready and orders are acknowledged."""
    done = Round([fault.name for fault in faults])
    try:
        load.await_flow()
        start = load.place()
        with ExitStack() as stack:
            proofs = [stack.enter_context(struck(fault, system)) for fault in faults]
            if len(faults) == 1 and faults[0].outage:
                watch(system, faults[0], done)
        marks = [since for _, since in proofs]
        healed = max([since for since in marks if since] + ([time.monotonic()] if None in marks else []))
        after = load.place()
    except (NotHappened, requests.RequestException) as error:
        done.trouble.append(f"{'+'.join(done.faults)}: {error}")
        return done
    try:
        for service in SERVICES:
            wait_until(partial(system.ready, service), READY_S, f"{service} ready")
        wait_until(lambda: load.acknowledged(after, "orders") > 0, READY_S, "an order acknowledged")
        done.ready_s = round(time.monotonic() - healed, 2)
        if done.ready_s > READY_S:
            done.violations.append(f"{'+'.join(done.faults)}: ready only after {done.ready_s} s")
    except NotHappened as error:
        done.violations.append(f"{'+'.join(done.faults)}: {error}")
    count(load.lines(start, load.place()), done)
    done.proof = [proof for proof, _ in proofs]
    if any(fault.unknowns for fault in faults) and not done.unknown:
        done.trouble.append(f"{'+'.join(done.faults)}: no write was left without an answer")
    return done


def run_group(system: System, rounds: list[list[Fault]], directory: Path, flowing: int = FLOWING) -> Group:
    """Rounds under one load, then settle, and audit over HTTP and over the files."""
    group = Group([], directory=str(directory))
    load = Load(system, directory, flowing)
    try:
        for faults in rounds:
            done = run_round(system, load, faults)
            group.rounds.append(done)
            words = "; ".join(done.violations or done.trouble or done.proof)
            print(f"  {'+'.join(done.faults)}: {words}; ready in {done.ready_s} s", flush=True)
        load.await_flow()
        report = load.stop()
        group.flaws += report["flaws"]
        group.attempted = sum(service["attempted"] for service in report["services"].values())
        group.acknowledged = sum(service["acknowledged"] for service in report["services"].values())
        group.counts = {each["name"]: each["count"] or 0 for each in report["invariants"]}
        group.violations += [
            f"{each['name']}: {'; '.join(each['examples'])}" for each in report["invariants"] if each["count"]
        ]
        files, damage = read_files(system)
        group.violations += damage
        found = compare(acknowledged(read(load.ledger)), files, Path(report["read_back"]))
        group.counts |= found
        group.violations += [f"{name}: {number}" for name, number in found.items() if number]
    except NotHappened as error:
        group.flaws.append(str(error))
    finally:
        load.kill()
    return group
