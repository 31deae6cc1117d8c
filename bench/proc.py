"""What the kernel says of processes: their CPU time and memory, and of the machine. Linux only."""

import os
import platform
import time
from pathlib import Path
from typing import Any

import apsw

TICKS = os.sysconf("SC_CLK_TCK")
SYNCS = 100  # to know a disk by


def tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in tree(int(child)))]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and all its descendants so far."""
    return sum(_ticks(each) for each in tree(pid)) / TICKS


def _ticks(pid: int) -> int:
    # The name, in brackets, may hold anything; user and system time are the 14th and 15th field.
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(after_name[11]) + int(after_name[12])


def pss_mb(pid: int) -> float:
    """Proportional set size of a process and all its descendants: a page that n share counts 1/n in each."""
    return sum(_pss_kib(each) for each in tree(pid)) * 1024 / 1e6


def _pss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/{pid}/smaps_rollup tells no Pss")


def busy_seconds() -> float:
    """CPU time of the whole machine that was not idle, since it started; of all cores together."""
    user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq + steal) / TICKS


def machine(directory: Path) -> dict[str, Any]:
    """What a reader must know of the machine to judge a figure; `directory` is where the databases will be."""
    models = {
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    }
    memory_kib = int(Path("/proc/meminfo").read_text().split("\n", 1)[0].split()[1])
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": ", ".join(sorted(models)) or platform.machine(),
        "memory_gb": round(memory_kib * 1024 / 1e9, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "file_system": file_system(directory),
        "sync_ms": round(sync_ms(directory), 3),
    }


def file_system(directory: Path) -> str:
    """The kind of file system that a directory lies on, as the kernel calls it."""
    best, kind = Path("/"), "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _device, point, type_, *_ = line.split()
        if directory.resolve().is_relative_to(point) and Path(point).is_relative_to(best):
            best, kind = Path(point), type_
    return kind


def sync_ms(directory: Path) -> float:
    """Milliseconds that this disk takes to sync 4 KiB that were appended to a file: the median of many."""
    path = directory / "sync"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    took = []
    try:
        for _ in range(SYNCS):
            os.write(handle, bytes(4096))
            began = time.perf_counter()
            os.fdatasync(handle)
            took.append(time.perf_counter() - began)
    finally:
        os.close(handle)
        path.unlink()
    return sorted(took)[SYNCS // 2] * 1000
