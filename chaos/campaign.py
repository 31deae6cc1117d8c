"""A campaign: the order of the faults, the rounds, and the checks during an outage."""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import requests

from loadgen.audit.ledger import read

from .databases.files import Reader, acknowledged, compare, read_files
from .databases.stock import compare_stock, supplied
from .faults import FAULTS, SEEN_S, Fault, Proof
from .history import Place
from .judge import UNDECIDED, VIOLATED, Group, Round, count
from .load import FLOWING, Load
from .replicas.follower import Follower
from .system import SERVICES, NotHappened, System, wait_until

UNKNOWN_USER = {"user_id": 2**62, "product_id": 1, "quantity": 1}  # never written: no audit counts it
MET_S = 3.0  # seconds that a fault is prolonged for a request to meet it
GROUP = 12  # rounds in one run of the load
ATTEMPTS = 3  # to make a fault happen: the engine sometimes refuses a command
ORDER_DEADLINE_S = 7.0  # two rounds of look-ups of 2 s each, one second of patience, and two for a busy machine
READ_DEADLINE_S = 2.0
LOOK_EVERY_S = 0.5
MEMORY_MB = 20.0  # by which orders may grow during an outage


def plan(names: Sequence[str], faults: int, seed: int, known: dict[str, Fault] = FAULTS) -> list[list[Fault]]:
    """Return the rounds: each named fault of `known` once, then random pairs, up to `faults` injections."""
    rng = random.Random(seed)
    rounds = [[known[name]] for name in names]
    rng.shuffle(rounds)
    pool = [fault for fault in known.values() if not fault.alone]
    left = faults - len(rounds)
    while left > 0:
        first = rng.choice(pool)
        others = [f for f in pool if f.service != first.service and f.wired == first.wired]
        pair = [first, rng.choice(others)][:left]
        rounds.append(sorted(pair, key=lambda fault: fault.lasts == 0))  # faults that last begin first
        left -= len(rounds[-1])
    return rounds


def grouped(rounds: list[list[Fault]]) -> Iterator[tuple[bool, list[list[list[Fault]]]]]:
    """Yield groups of rounds: first those on the plain system, then those that need the proxy or the clocks."""
    for wired in (False, True):
        chosen = [each for each in rounds if any(fault.wired for fault in each) == wired]
        if chosen:
            yield wired, [chosen[start : start + GROUP] for start in range(0, len(chosen), GROUP)]


@contextmanager
def struck(fault: Fault, system: System) -> Iterator[Proof]:
    """Inject a fault, and heal it at the end of the block."""
    strike = fault.strike(system)
    proof = next(strike)
    try:
        yield proof
    finally:
        next(strike, None)


def watch(system: System, load: Load, fault: Fault, into: Round) -> None:
    """Check orders during the outage of a service that it asks.

    Reads are answered. New orders are refused, in time and correctly. Memory does not grow. No order is accepted,
    because nobody can have checked it.
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
    """Yield a sentence for each mistake with which orders, at `url`, refuses an order and answers a read."""
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
    """Return the load's orders that were sent since `place`, in an outage, and accepted without a check."""
    history = load.history
    sent = {id(tried) for tried in history.sent[place[0] :]}
    return [
        f"an order was accepted unchecked: {tried}"
        for tried in history.ended_since(place)
        if tried.service == "orders" and tried.written and id(tried) in sent
    ]


def met(load: Load, faults: list[Fault], place: Place) -> int:
    """Count the requests that met one of the faults. In a pair, one fault may hide the other."""
    ended = load.history.ended_since(place)
    return sum(any(fault.felt(tried) for fault in faults) for tried in ended)


def run_round(system: System, load: Load, faults: list[Fault]) -> Round:
    """Inject, heal, and wait until everything is ready and orders are acknowledged."""
    done = Round([fault.name for fault in faults])
    name = "+".join(done.faults)
    patience = max(fault.ready_s for fault in faults)
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
                with suppress(NotHappened):  # counted again below
                    wait_until(lambda: met(load, faults, start), seconds, "met")
        marks = [since for _, since in proofs]
        healed = max([since for since in marks if since] + ([time.monotonic()] if None in marks else []))
        after = load.history.place()
    except (NotHappened, requests.RequestException) as error:
        done.trouble.append(f"{name}: {error}")
        return done
    try:
        for service in SERVICES:
            wait_until(partial(system.ready, service), patience, f"{service} ready")
        wait_until(lambda: load.acknowledged(after, "orders"), patience, "an order acknowledged")
        done.ready_s = round(time.monotonic() - healed, 2)
        if done.ready_s > patience:
            done.violations.append(f"{name}: ready only after {done.ready_s} s")
    except NotHappened as error:
        done.violations.append(f"{name}: {error}")
    done.seconds = round(time.monotonic() - began, 1)
    done.gap_s = round(load.pulse.longest_gap(began), 2)
    count(load.history.ended_since(start), load.history.in_flight(), done)
    if done.failed and all(fault.flawless for fault in faults):
        done.violations.append(f"{name}: {done.failed} requests failed")
    try:
        done.felt = wait_until(lambda: met(load, faults, start), SEEN_S, "a request of the load that met the fault")
    except NotHappened as error:
        done.trouble.append(f"{name}: {error}")
    try:
        system.await_whole()
    except NotHappened as error:
        done.violations.append(f"{name}: {error}")
    return done


def run_group(
    system: System,
    rounds: list[list[Fault]],
    directory: Path,
    flowing: int = FLOWING,
    read_data: Reader = read_files,
) -> Group:
    """Run rounds under one load, settle, and audit over HTTP and in the data that `read_data` finds."""
    group = Group([], directory=str(directory))
    load = Load(system, directory, flowing)
    follower = Follower(f"{system.url('orders')}/orders", system.headers()) if system.replicated else None
    try:
        for faults in rounds:
            for _ in range(ATTEMPTS):
                done = run_round(system, load, faults)
                words = "; ".join(done.violations or done.trouble or done.proof)
                seen = f"felt by {done.felt}, {done.failed} failed; ready in {done.ready_s} s; gap {done.gap_s} s"
                print(f"  {'+'.join(done.faults)}: {words}; {seen}", flush=True)
                if done.violations or not done.trouble:  # what did not happen is tried again, never what is wrong
                    break
            group.rounds.append(done)
        load.await_flow()
        report = load.stop()
        judge_load(group, report)
        files, stock, damage = read_data(system)
        group.violations += damage
        found = compare(acknowledged(read(load.ledger)), files, system.audited, Path(report["read_back"]))
        system.supplied |= supplied(read(load.ledger))
        found |= compare_stock(system.supplied, stock)
        system.audited = {service: read_.rows for service, read_ in files.items()}
        if follower is not None:
            found["never seen by a reader"] = len(files["orders"].rows.keys() - follower.end())
        group.counts |= found
        group.violations += [f"{name}: {number}" for name, number in found.items() if number]
        group.audited = True
    except NotHappened as error:
        group.flaws.append(str(error))
    finally:
        load.kill()
    return group


def judge_load(group: Group, report: dict[str, Any]) -> None:
    """Add the findings of the load generator's own audit to a group."""
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
