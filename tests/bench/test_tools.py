"""The output of wrk, oha and the kernel, read as numbers; failed measurements are refused."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import machine
from bench.parts.composed.containers import base_image, seconds_of
from bench.parts.composed.postgres import mb, sums
from bench.parts.peers import syncs
from bench.sampling import ORDER, USER, batch
from bench.tools import oha, wrk
from testbed import kernel

RESULT = '{"requests": %d, "seconds": 2.0, "p50_ms": 3.5, "p99_ms": 9.0, "refused": %d, "errors": %d}'


def printed(requests: int = 400, refused: int = 0, errors: int = 0) -> str:
    return f"Running 2s test @ http://127.0.0.1\nRESULT {RESULT % (requests, refused, errors)}\n"


def test_reads_a_run_of_wrk() -> None:
    sample = wrk.parse(printed(), 0.5, "here")
    assert (sample.rate, sample.p50_ms, sample.p99_ms, sample.own_cpu_s) == (200.0, 3.5, 9.0, 0.5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (printed(refused=1), "here: 1 answers were refusals"),
        (printed(errors=2), "here: .* 2 requests failed"),
        (printed(requests=0), "here: nothing was answered"),
        ("unable to connect to 127.0.0.1\n", "here: no result:\nunable to connect"),
    ],
)
def test_rejects_a_run_of_wrk_with_refusals_or_failures(text: str, words: str) -> None:
    with pytest.raises(wrk.Failed, match=words):
        wrk.parse(text, 0.0, "here")


def run_of_oha(statuses: dict[str, int], errors: dict[str, int]) -> dict[str, object]:
    return {
        "summary": {"slowest": 0.25},
        "latencyPercentiles": {"p50": 0.004, "p99": 0.02},
        "statusCodeDistribution": statuses,
        "errorDistribution": errors,
    }


def test_reads_a_run_of_oha() -> None:
    sample = oha.parse(run_of_oha({"201": 990}, {}), 1000, "here")
    assert sample == {"p50_ms": 4.0, "p99_ms": 20.0, "highest_ms": 250.0, "kept": 0.99, "requests": 990}


@pytest.mark.parametrize(
    ("statuses", "errors", "words"),
    [
        ({"201": 999, "503": 1}, {}, "refused {'503': 1}"),
        ({"201": 1000}, {"connection refused": 3}, "failed {'connection refused': 3}"),
        ({"201": 900}, {}, "only 90% of the scheduled requests"),
    ],
)
def test_rejects_a_run_of_oha_that_missed_its_rate(
    statuses: dict[str, int], errors: dict[str, int], words: str
) -> None:
    with pytest.raises(wrk.Failed, match=re.escape(words)):
        oha.parse(run_of_oha(statuses, errors), 1000, "here")


def test_each_item_of_a_batch_has_its_own_address() -> None:
    items = json.loads(batch(USER, 3))["items"]
    assert [item["email"] for item in items] == [f"{{n}}-{place}@example.com" for place in range(3)]
    assert json.loads(batch(ORDER, 2)) == {"items": [json.loads(ORDER)] * 2}
    assert len(batch(USER, 1000)) < wrk.LONGEST_BODY


def test_counts_syncs_of_the_log_and_no_others(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.write_text(
        "12 fdatasync(9</d/orders.db-wal>) = 0\n12 fsync(9</d/orders.db-wal>)   = 0\n"
        "12 fdatasync(8</d/orders.db>) = 0\n13 fsync(3</d>) = 0\n"
    )
    assert syncs(trace) == 2


@pytest.mark.parametrize(
    "stamp", ["2026-11-25T02:20:00.5Z", "2026-11-25T02:20:00.500000000Z", "2026-11-25T04:20:00.500000001+02:00"]
)
def test_reads_fractions_of_seconds_in_the_engines_times(stamp: str) -> None:
    assert seconds_of(stamp) == pytest.approx(1795573200.5, abs=1e-6)


def test_reads_the_base_image_from_the_dockerfile() -> None:
    assert re.fullmatch(r"python:3\.\d+-slim", base_image())


def test_cpu_time_and_memory_of_a_process_include_its_children() -> None:
    child = "import time; data = bytearray(30_000_000); print(1, flush=True); end = time.process_time() + .2\nwhile time.process_time() < end: pass\nprint(2, flush=True); input()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        assert process.stdout.readline() == b"2\n"
        assert len(kernel.tree(process.pid)) == 2
        assert kernel.cpu_seconds(process.pid) >= 0.2
        assert kernel.pss_mb(process.pid) > 30
        process.communicate(b"\n", timeout=10)


def test_describes_the_machine(tmp_path: Path) -> None:
    described = machine.machine(tmp_path)
    assert described["cores"] == len(os.sched_getaffinity(0))
    assert described["sync_ms"] > 0
    assert list(tmp_path.iterdir()) == []
    assert machine.file_system(Path("/proc/self")) == "proc"


@pytest.mark.parametrize(
    ("printed", "size"), [("0B", 0.0), ("512KiB", 0.524288), ("1.5MiB", 1.572864), ("2GiB", 2147.483648)]
)
def test_reads_a_size_as_the_engine_prints_it(printed: str, size: float) -> None:
    assert mb(printed) == pytest.approx(size)


def test_adds_up_the_containers_of_each_part() -> None:
    figures = {
        "threefold-bench-3-7-orders-1": 1.0,
        "threefold-bench-3-7-users-2": 2.0,
        "threefold-bench-3-7-users-front-1": 4.0,
    }
    assert sums(figures | {"threefold-bench-3-7-database-1": 8.0}) == {
        "services": 3.0,
        "front doors": 4.0,
        "database": 8.0,
    }
