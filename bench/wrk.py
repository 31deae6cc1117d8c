"""wrk, the outside load tool: one measurement, and what it printed as numbers."""

import itertools
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("post.lua")
_runs = itertools.count(int.from_bytes(os.urandom(4), "big") * 1000)


@dataclass(frozen=True)
class Sample:
    """One run of wrk. Latencies in milliseconds."""

    rate: float  # requests a second
    p50_ms: float
    p99_ms: float


def post(url: str, body: str, *, connections: int = 64, seconds: float = 5) -> Sample:
    """POST `body` to `url` over so many connections, for so long; every answer must be a 2xx.

    Raises:
        SystemExit: wrk is missing, or a request was not answered with a 2xx.
    """
    if not shutil.which("wrk"):
        raise SystemExit("The benchmark needs wrk: install it (Debian: apt install wrk) and start again.")
    env = os.environ | {"BODY": body, "RUN": str(next(_runs))}
    done = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--timeout", "10s", "-s", str(SCRIPT), url],
        env=env, capture_output=True, text=True, timeout=seconds + 60, check=False,
    )  # fmt: skip
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), None)
    if line is None:
        raise SystemExit(f"wrk failed on {url}:\n{done.stdout}{done.stderr}")
    result = json.loads(line.removeprefix("RESULT "))
    if result["refused"] or result["errors"]:
        raise SystemExit(f"{url}: {result['refused']} answers were not 2xx, {result['errors']} failed")
    return Sample(result["requests"] / result["seconds"], result["p50_ms"], result["p99_ms"])
