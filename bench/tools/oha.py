"""oha, a load tool for open load: requests at a constant rate, however slow the answers are.

wrk's load is closed: it waits for an answer before it sends the next request, so it sends nothing during a stall. oha
keeps to a schedule, and counts a response time from the scheduled moment of its request.
"""

import json
import resource
import subprocess
from typing import Any

from ..sampling import Sample
from .wrk import Failed

LEAST_KEPT = 0.98  # share of the scheduled requests that must be sent and answered


def post(url: str, body: str, *, rate: float, connections: int, seconds: float) -> Sample:
    """POST `body` at a constant rate a second. Every answer must be a 2xx.

    Return `p50_ms`, `p99_ms` and `highest_ms`, from the scheduled moment of a request; `kept`, the share of scheduled
    requests that was answered; `requests` answered; `oha_share` of a core.

    Raises:
        Failed: oha failed, an answer was missing or not a 2xx, or the rate was not kept.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        ["oha", "--no-tui", "--output-format", "json", "-q", str(round(rate)), "--latency-correction",
         "-c", str(connections), "-z", f"{seconds:g}s", "-w", "-m", "POST", "-T", "application/json", "-d", body, url],
        capture_output=True, text=True, timeout=seconds + 60, check=False,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise Failed(f"oha on {url}: {done.stderr.strip()[-500:]}")
    own = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / seconds
    return parse(json.loads(done.stdout), round(rate) * seconds, f"{url}: oha, {rate:.0f}/s") | {"oha_share": own}


def parse(result: dict[str, Any], due: float, what: str) -> Sample:
    """Return the result of a run with `due` scheduled requests. Raises Failed; the message begins with `what`."""
    statuses, errors = result["statusCodeDistribution"], result["errorDistribution"]
    refused = {status: count for status, count in statuses.items() if not status.startswith("2")}
    if refused or errors:
        raise Failed(f"{what}: refused {refused}, failed {errors}")
    if (kept := sum(statuses.values()) / due) < LEAST_KEPT:
        raise Failed(f"{what}: only {kept:.0%} of the scheduled requests were answered: the rate was not kept")
    percentiles = result["latencyPercentiles"]
    return {
        "p50_ms": percentiles["p50"] * 1000,
        "p99_ms": percentiles["p99"] * 1000,
        "highest_ms": result["summary"]["slowest"] * 1000,
        "kept": kept,
        "requests": sum(statuses.values()),
    }
