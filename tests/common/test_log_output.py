"""Log lines are written in order and whole, and nobody who writes one waits for the reader."""

import contextlib
import os
import resource
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from select import PIPE_BUF, select

import pytest

from service_common.telemetry.log_output import MOST_BYTES, LogOutput, pieces, room
from testbed import wait_until

LINE = "x" * 199 + "\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The ends of a pipe, the reading one first."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def read_lines(descriptor: int, count: int) -> list[str]:
    """Return at least `count` lines of a pipe; nothing may be missing for longer than 10 s."""
    received = b""
    while received.count(b"\n") < count:
        assert select([descriptor], [], [], 10)[0], received[-300:]
        received += os.read(descriptor, 1 << 16)
    return received.decode().splitlines(keepends=True)


def test_lines_arrive_in_order(pipe: tuple[int, int]) -> None:
    output = LogOutput(pipe[1])
    sent = [f"{number}\n" for number in range(5000)]
    for line in sent:
        output.write(line)
    assert read_lines(pipe[0], len(sent)) == sent
    assert output.dropped == 0


def test_a_line_after_a_pause_is_written_soon(pipe: tuple[int, int]) -> None:
    output = LogOutput(pipe[1])
    for number in range(3):
        output.write(f"{number}\n")
        assert read_lines(pipe[0], 1) == [f"{number}\n"]
        time.sleep(0.03)  # until the thread waits


def test_a_busy_writer_writes_itself_while_the_pipe_is_nearly_empty(pipe: tuple[int, int]) -> None:
    output = LogOutput(pipe[1])
    for _ in range(PIPE_BUF // len(LINE)):
        output.write(LINE)
    assert select([pipe[0]], [], [], 0)[0]  # at once: the thread pauses first
    assert set(read_lines(pipe[0], PIPE_BUF // len(LINE))) == {LINE}


@pytest.mark.parametrize("waiting", [0, 1 << 10, 1 << 13, 1 << 15, 1 << 16])
def test_a_write_that_has_room_never_blocks(pipe: tuple[int, int], waiting: int) -> None:
    """Small writes waste most of a pipe's room."""
    os.set_blocking(pipe[1], False)
    size = PIPE_BUF // 2 + 1
    filled = 0
    with contextlib.suppress(BlockingIOError):
        while filled < waiting:
            filled += os.write(pipe[1], b"x" * size)
    had_room = room(pipe[1])
    for _ in range(had_room // size):  # several processes at the same moment
        assert os.write(pipe[1], b"x" * size) == size
    assert had_room == 0 or filled < 1 << 14


def test_lines_that_a_stalled_reader_leaves_no_room_for_are_dropped_and_counted(pipe: tuple[int, int]) -> None:
    output = LogOutput(pipe[1])
    sent = 3 * MOST_BYTES // len(LINE)
    began = time.monotonic()
    for _ in range(sent):
        output.write(LINE)
    assert time.monotonic() - began < 2
    assert output.dropped > sent // 2
    read = read_lines(pipe[0], sent - output.dropped)
    assert set(read) == {LINE}
    assert len(read) == sent - output.dropped
    output.write("later\n")
    assert read_lines(pipe[0], 1) == ["later\n"]


def test_a_reader_that_has_gone_costs_lines_only() -> None:
    reading, writing = os.pipe()
    output = LogOutput(writing)
    os.close(reading)
    for _ in range(3):
        output.write(LINE)
    wait_until(lambda: output.dropped == 3, 5, "the count")
    os.close(writing)


def test_a_full_disk_costs_lines_only() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    try:
        output = LogOutput(descriptor)
        output.write(LINE)
        wait_until(lambda: output.dropped == 1, 5, "the count")
    finally:
        os.close(descriptor)


def test_a_descriptor_that_another_process_made_non_blocking_loses_nothing(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    output = LogOutput(pipe[1])
    for _ in range(1000):  # more than a pipe holds
        output.write(LINE)
    time.sleep(0.05)
    assert read_lines(pipe[0], 1000) == [LINE] * 1000


def test_a_flush_ends_in_time_with_a_stalled_reader(pipe: tuple[int, int]) -> None:
    output = LogOutput(pipe[1])
    for _ in range(1000):
        output.write(LINE)
    began = time.monotonic()
    output.flush(0.2)
    assert 0.2 <= time.monotonic() - began < 1
    assert len(read_lines(pipe[0], 1000)) == 1000
    output.flush(5)
    assert time.monotonic() - began < 4


def in_python(code: str, output: Path) -> str:
    with output.open("wb") as file:
        subprocess.run([sys.executable, "-c", textwrap.dedent(code)], stdout=file, check=True, timeout=30)
    return output.read_text()


def test_all_lines_are_there_when_the_process_has_ended(tmp_path: Path) -> None:
    code = """
        from service_common.telemetry.logs import output
        for number in range(1000):
            output.write(f"{number}\\n")
    """
    assert in_python(code, tmp_path / "log") == "".join(f"{number}\n" for number in range(1000))


def test_a_forked_process_writes_its_own_lines_and_no_others(tmp_path: Path) -> None:
    code = """
        import os, time
        from service_common.telemetry.logs import output
        output.write("before\\n")  # the thread writes this while the fork happens, or after it
        if child := os.fork():
            os.waitpid(child, 0)
        output.write(f"{'parent' if child else 'child'}\\n")
    """
    assert sorted(in_python(code, tmp_path / "log").splitlines()) == ["before", "child", "parent"]


def test_a_line_that_was_cut_by_a_full_disk_does_not_spoil_the_next(tmp_path: Path) -> None:
    code = """
        import resource, time
        from service_common.telemetry.logs import output
        output.write("a" * 99 + "\\n")
        output.flush()
        resource.setrlimit(resource.RLIMIT_FSIZE, (150, resource.RLIM_INFINITY))
        output.write("b" * 99 + "\\n")
        output.flush()
        output.write("lost\\n")
        output.flush()
        assert output.dropped == 2, output.dropped
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        output.write("c\\n")
    """
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    assert in_python(code, tmp_path / "log").splitlines() == ["a" * 99, "b" * 50, "c"]


def test_pieces_are_as_long_as_a_pipe_takes_at_once() -> None:
    lines = [f"{'x' * length}\n" for length in (1, 4000, 90, 5, 10_000, 4095, 3)]
    made = list(pieces(lines))
    assert "".join(made) == "".join(lines)
    assert all(piece.endswith("\n") for piece in made)
    assert [len(piece) for piece in made if len(piece) > PIPE_BUF] == [10_001]
