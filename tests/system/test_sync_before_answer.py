"""The log is synced before an answer leaves, as the system calls of the process show."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from lessons.patches import copy_code
from testbed import Process, wait_until

WRITES = 5
CALLS = "write,writev,pwrite64,fsync,fdatasync,sendto,sendmsg"


@contextmanager
def traced(process: Process, into: Path) -> Iterator[None]:
    """Write the worker's system calls during the block, with the paths of files, to a file."""
    if shutil.which("strace") is None:
        reason = "no strace: install it to watch the system calls"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    assert process.process is not None
    children = Path(f"/proc/{process.process.pid}/task/{process.process.pid}/children").read_text().split()
    command = ["strace", "-f", "-y", "-s", "64", "-e", f"trace={CALLS}", "-o", str(into), "-p", children[0]]
    errors = into.with_suffix(".err")
    with errors.open("wb") as file:
        strace = subprocess.Popen(command, stderr=file)
    try:
        wait_until(lambda: b"attached" in errors.read_bytes() or strace.poll() is not None, what="strace attached")
        if strace.poll() is not None:
            reason = f"strace may not look: {errors.read_text()}"
            pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
        yield
    finally:
        strace.terminate()
        strace.wait(10)


def ended(trace: str) -> Iterator[str]:
    """Yield the calls in the order of their end, but calls that send in the order of their begin."""
    unfinished: dict[str, str] = {}
    for line in trace.splitlines():
        thread, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith("<unfinished ...>"):
            unfinished[thread] = call.removesuffix("<unfinished ...>")
            if call.startswith("send"):
                yield call
        elif found := re.match(r"<\.\.\. (\w+) resumed>(.*)", call):
            if not found[1].startswith("send"):
                yield unfinished.pop(thread, "") + found[2]
        else:
            yield call


def early(trace: str) -> tuple[int, int]:
    """Count the answers 201, and those that left before the newly written log was synced."""
    answers = early = 0
    written = synced = False
    for call in ended(trace):
        if call.startswith("pwrite64(") and "-wal>" in call:
            written, synced = True, False
        elif re.match(r"f(data)?sync\(\d+<[^>]*-wal>", call) and call.endswith("= 0"):
            synced = written
        elif call.startswith("send") and "HTTP/1.1 201" in call:
            answers += 1
            early += not synced
            written = synced = False
    return answers, early


def write(process: Process, into: Path) -> tuple[int, int]:
    with traced(process, into):
        for number in range(WRITES):
            body = {"name": "Ada", "email": f"ada-{number}@example.com"}
            assert requests.post(f"{process.url}/users", json=body, timeout=10).status_code == 201
    return early(into.read_text())


@pytest.mark.parametrize(("fault", "too_early"), [(None, 0), ("no-sync", WRITES)])
def test_the_log_is_synced_before_the_answer_leaves(tmp_path: Path, fault: str | None, too_early: int) -> None:
    code = copy_code(tmp_path / "code", fault)
    process = Process("users", "users_service.app:create_app()", tmp_path, {}, code).start()
    try:
        assert write(process, tmp_path / "trace.txt") == (WRITES, too_early)
    finally:
        process.stop()
