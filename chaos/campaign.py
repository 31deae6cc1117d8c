"""A campaign: which faults in which order, the rounds, and what is looked at meanwhile."""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import requests

from loadgen.ledger import read

from .faults import FAULTS, SEEN_S, Fault, Proof
from .files import acknowledged, compare, read_files
from .history import Place
from .judge import READY_S, UNDECIDED, VIOLATED, Group, Round, count
from .load import FLOWING, Load
from .system import SERVICES, NotHappened, System, wait_until

UNKNOWN_USER = {"user_id": 2**62, "product_id": 1, "quantity": 1}  # an order that is never written: no audit meets it
MET_S = 3.0  # that a fault goes on for until a request has met it
GROUP = 12  # rounds under one run of the load
ORDER_DEADLINE_S = 7.0  # two rounds of look-ups of 2 s, a second of patience, and two for a busy machine
READ_DEADLINE_S = 2.0
LOOK_EVERY_S = 0.5
MEMORY_MB = 20.0  # that orders may grow by during an outage


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
        pair = [first, rng.choice(others)][:left]
        rounds.append(sorted(pair, key=lambda fault: fault.lasts == 0))  # what is over at once strikes into what lasts
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


def watch(system: System, load: Load, fault: Fault, into: Round) -> None:
    """While a service that orders needs is away: orders are read, refused in time and soundly, and pile up nowhere.

    None may be accepted: it would be unchecked.
    """
    until = time.monotonic() + fault.lasts
    url = f"{system.url('orders')}/orders"
    before, place = system.memory_mb("orders"), load.history.place()
    while True:
        into.violations += [f"{fault.name}: {said}" for said in look(url)]
        if time.monotonic() > until:
            break
        time.sleep(LOOK_EVERY_S)
    into.grown_mb = round(system.memory_mb("orders") - before, 1)
    if into.grown_mb > MEMORY_MB:
        into.violations.append(f"{fault.name}: orders grew by {into.grown_mb:.0f} MB")
    into.violations += unchecked(load, place)


def look(url: str) -> Iterator[str]:
    """What is wrong with how orders, at `url`, refuse an order and answer a read now."""
    began = time.monotonic()
    try:
        answer = requests.post(url, json=UNKNOWN_USER, timeout=30)
        kind = str(answer.json().get("type")) if answer.status_code == 503 else ""
        if not kind.endswith("/dependency-unavailable") or not answer.headers.get("Retry-After", "").isdigit():
            yield f"not dependency-unavailable with Retry-After but {answer.status_code}: {answer.text}"
    except (requests.RequestException, ValueError, AttributeError) as error:
        yield f"an order got no answer that can be read: {error!r}"
    if (took := time.monotonic() - began) > ORDER_DEADLINE_S:
        yield f"an order was answered after {took:.1f} s"
    began = time.monotonic()
    try:
        status = requests.get(f"{url}?limit=5", timeout=30).status_code
    except requests.RequestException as error:
        status = 0
        yield f"a read of orders got no answer: {error!r}"
    took = time.monotonic() - began
    if status not in (0, 200) or took > READ_DEADLINE_S:
        yield f"reading orders: status {status} after {took:.1f} s"


def unchecked(load: Load, place: Place) -> list[str]:
    """The load's orders that were sent since `place`, in an outage, and accepted: nobody can have checked them."""
    history = load.history
    sent = {id(tried) for tried in history.sent[place[0] :]}
    return [
        f"an order was accepted unchecked: {tried}"
        for tried in history.ended_since(place)
        if tried.service == "orders" and tried.written and id(tried) in sent
    ]


def met(load: Load, faults: list[Fault], place: Place) -> int:
    """How many requests have met the faults; of a pair one may hide the other, so it need not be both."""
    ended = load.history.ended_since(place)
    return sum(any(fault.felt(tried) for fault in faults) for tried in ended)


def run_round(system: System, load: Load, faults: list[Fault]) -> Round:
    """Inject, heal, and wait until everything is ready and orders are acknowledged."""
    done = Round([fault.name for fault in faults])
    name = "+".join(done.faults)
    try:
        load.await_flow()
        start, began = load.history.place(), time.monotonic()
        with ExitStack() as stack:
            proofs = [stack.enter_context(struck(fault, system)) for fault in faults]
            done.proof = [proof for proof, _ in proofs]
            if len(faults) == 1 and faults[0].outage:
                watch(system, load, faults[0], done)
            if not all(fault.shows_late for fault in faults):
                seconds = max(fault.lasts for fault in faults) + MET_S
                with suppress(NotHappened):  # it is asked again below
                    wait_until(lambda: met(load, faults, start), seconds, "met")
        marks = [since for _, since in proofs]
        healed = max([since for since in marks if since] + ([time.monotonic()] if None in marks else []))
        after = load.history.place()
    except (NotHappened, requests.RequestException) as error:
        done.trouble.append(f"{name}: {error}")
        return done
    try:
        for service in SERVICES:
            wait_until(partial(system.ready, service), READY_S, f"{service} ready")
        wait_until(lambda: load.acknowledged(after, "orders"), READY_S, "an order acknowledged")
        done.ready_s = round(time.monotonic() - healed, 2)
        if done.ready_s > READY_S:
            done.violations.append(f"{name}: ready only after {done.ready_s} s")
    except NotHappened as error:
        done.violations.append(f"{name}: {error}")
    done.seconds = round(time.monotonic() - began, 1)
    count(load.history.ended_since(start), load.history.in_flight(), done)
    try:
        done.felt = wait_until(lambda: met(load, faults, start), SEEN_S, "a request of the load that met the fault")
    except NotHappened as error:
        done.trouble.append(f"{name}: {error}")
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
            print(f"  {'+'.join(done.faults)}: {words}; felt by {done.felt}; ready in {done.ready_s} s", flush=True)
        load.await_flow()
        report = load.stop()
        judge_load(group, report)
        files, damage = read_files(system)
        group.violations += damage
        found = compare(acknowledged(read(load.ledger)), files, system.audited, Path(report["read_back"]))
        system.audited = {service: read_.rows for service, read_ in files.items()}
        group.counts |= found
        group.violations += [f"{name}: {number}" for name, number in found.items() if number]
        group.audited = True
    except NotHappened as error:
        group.flaws.append(str(error))
    finally:
        load.kill()
    return group


def judge_load(group: Group, report: dict[str, Any]) -> None:
    """Take over what the load generator's own audit found."""
    group.flaws += report["flaws"]
    group.attempted = sum(service["attempted"] for service in report["services"].values())
    group.acknowledged = sum(service["acknowledged"] for service in report["services"].values())
    group.counts = {each["name"]: each["count"] or 0 for each in report["invariants"]}
    group.violations += [
        f"{each['name']}: {'; '.join(each['examples'])}" for each in report["invariants"] if each["count"]
    ]
    if report["verdict"] == VIOLATED and not group.violations:
        group.violations.append(report["summary"])
    elif report["verdict"] == UNDECIDED and not group.flaws:
        group.flaws.append(report["summary"])
