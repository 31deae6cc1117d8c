"""wrk, the outside load tool: one measurement of closed load, and what it printed as numbers."""

import itertools
import json
import os
import re
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("post.lua")
LONGEST_BODY = 120_000  # bytes; Linux hands no longer text to a process by its environment
_runs = itertools.count(int.from_bytes(os.urandom(4), "big") * 1000)


class Failed(Exception):
    """A measurement that is none: what was asked for was not answered as it had to be."""


@dataclass(frozen=True)
class Sample:
    """One run of wrk. Latencies in milliseconds."""

    requests: int  # answered
    seconds: float
    p50_ms: float
    p99_ms: float
    own_cpu_s: float  # CPU time that wrk itself took; it has one thread

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def post(url: str, body: str, *, connections: int = 64, seconds: float = 5) -> Sample:
    """POST `body` to `url` over so many connections, for so long; every answer must be a 2xx.

    In `body`, {n} becomes a text never used before, and {1000} a random number from 1 to 1000.

    Raises:
        Failed: wrk failed, nothing was answered, or something otherwise than with a 2xx, or with a batch of which an
            item was refused.
    """
    assert len(body) <= LONGEST_BODY
    env = os.environ | {"BODY": body, "RUN": str(next(_runs))}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{max(round(seconds), 1)}s", "--timeout", "10s", "-s", str(SCRIPT), url],
        env=env, capture_output=True, text=True, timeout=seconds + 60, check=False,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return parse(done.stdout, own, f"{url}: wrk, {connections} connections: {done.stderr.strip()}")


def parse(printed: str, own_cpu_s: float, what: str) -> Sample:
    """What post.lua printed at the end. Raises Failed, saying `what`."""
    found = re.search(r"^RESULT (.*)$", printed, flags=re.MULTILINE)
    if found is None:
        raise Failed(f"{what}: no result:\n{printed}")
    result = json.loads(found[1])
    if result["refused"] or result["errors"]:
        raise Failed(f"{what}: {result['refused']} answers were refusals, {result['errors']} requests failed")
    if not result["requests"]:
        raise Failed(f"{what}: nothing was answered")
    return Sample(result["requests"], result["seconds"], result["p50_ms"], result["p99_ms"], own_cpu_s)
