"""Every flood, smaller than in `python -m tests.hostile`: other clients are served, and `/livez` answers."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed import Fleet

from .floods import FLOODS, Flood, furnish, run

pytestmark = pytest.mark.alone
SECONDS = 1.5  # duration of each flood
SHARE = 0.25  # of its connections
MOST_CONNECTIONS = 300  # fewer than the stalled ones, as at full size
SYN_AGAIN_S = 1.0  # after which a client's kernel repeats a connection attempt that found the backlog full
LIVEZ_S = 1.0
P99_S = 2.0
MEMORY_MB = 230  # of the 256 that a container has


@pytest.fixture(scope="module")
def flooded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The three services with enough items for the longest lists."""
    running = Fleet(tmp_path_factory.mktemp("flooded"), env={"MAX_CONNECTIONS": str(MOST_CONNECTIONS)})
    try:
        running.start()
        furnish(running)
        yield running
    finally:
        running.stop()


def repeated_attempts() -> int:
    """Return how many connection attempts were repeated on this machine."""
    names, values = (line.split() for line in Path("/proc/net/netstat").read_text().splitlines()[:2])
    return int(dict(zip(names, values, strict=True))["TCPSynRetrans"])


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: flood.name)
def test_a_flood_delays_no_other_client_and_fits_into_memory(flooded: Fleet, flood: Flood) -> None:
    busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # other work slows the machine by this
    before = repeated_attempts()
    seen = run(flooded, flood, max(4, int(flood.count * SHARE)), SECONDS)
    again = SYN_AGAIN_S if repeated_attempts() > before else 0  # then the backlog, not a service, kept a client waiting
    print(seen.line())
    assert "the flood did not end" not in seen.hostile
    assert seen.hostile.total() > seen.hostile["closed"] + seen.hostile["refused"]  # it did happen
    assert len(seen.friends) >= 10
    assert not seen.failed
    assert not seen.refused or busy > 2  # where look-ups take their second, orders says so
    assert max(seen.livez) < LIVEZ_S * busy + again
    assert seen.p99() < P99_S * busy + again
    assert seen.memory < MEMORY_MB
    assert (seen.internal, seen.stray_rows) == (0, 0)


def test_newcomers_from_the_same_address_are_still_served(flooded: Fleet) -> None:
    (flood,) = [flood for flood in FLOODS if flood.name == "everything stalled"]
    seen = run(flooded, flood, 250, SECONDS, own_address=False)
    assert len(seen.friends) >= 10
    assert not seen.failed
    assert (seen.internal, seen.stray_rows) == (0, 0)
