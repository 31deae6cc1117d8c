"""wrk, a load tool for closed load: run it, and read its output."""

import itertools
import json
import os
import re
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("post.lua")
LONGEST_BODY = 120_000  # bytes; Linux limits the length of an environment variable
_runs = itertools.count(int.from_bytes(os.urandom(4), "big") * 1000)


class Failed(Exception):
    """A failed measurement: a request was not answered as it had to be."""


@dataclass(frozen=True)
class Sample:
    """The result of one run of wrk. Latencies in milliseconds."""

    requests: int  # answered
    seconds: float
    p50_ms: float
    p99_ms: float
    own_cpu_s: float  # CPU time of wrk itself, which has one thread

    @property
    def rate(self) -> float:
        """The requests a second."""
        return self.requests / self.seconds


def post(url: str, body: str, *, connections: int = 64, seconds: float = 5, keyed: bool = False) -> Sample:
    """POST `body` to `url` for `seconds` seconds. Every answer must be a 2xx.

    In `body`, {n} becomes a text never used before, and {1000} a random number from 1 to 1000. If `keyed`, each request
    has an idempotency key of its own.

    Raises:
        Failed: wrk failed, nothing was answered, an answer was not a 2xx, or an item of a batch was refused.
    """
    assert len(body) <= LONGEST_BODY
    env = os.environ | {"BODY": body, "RUN": str(next(_runs)), "KEYED": "1" if keyed else ""}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{max(round(seconds), 1)}s", "--timeout", "10s", "-s", str(SCRIPT), url],
        env=env, capture_output=True, text=True, timeout=seconds + 60, check=False,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return parse(done.stdout, own, f"{url}: wrk, {connections} connections: {done.stderr.strip()}")


def parse(printed: str, own_cpu_s: float, what: str) -> Sample:
    """Return the result that post.lua printed. Raises Failed; the message begins with `what`."""
    found = re.search(r"^RESULT (.*)$", printed, flags=re.MULTILINE)
    if found is None:
        raise Failed(f"{what}: no result:\n{printed}")
    result = json.loads(found[1])
    if result["refused"] or result["errors"]:
        raise Failed(f"{what}: {result['refused']} answers were refusals, {result['errors']} requests failed")
    if not result["requests"]:
        raise Failed(f"{what}: nothing was answered")
    return Sample(result["requests"], result["seconds"], result["p50_ms"], result["p99_ms"], own_cpu_s)
