"""The machine that a figure was measured on. Linux only."""

import os
import platform
import time
from pathlib import Path
from typing import Any

import apsw

from testbed.kernel import TICKS

SYNCS = 100  # that tell the speed of a disk


def busy_seconds() -> float:
    """Return the CPU time of all cores together that was not idle, since the machine started."""
    user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq + steal) / TICKS


def machine(directory: Path) -> dict[str, Any]:
    """Return what a reader must know of the machine to judge a figure. The databases will be in `directory`.

    `{"cores": 2, "cpu": "…", "memory_gb": 8.0, "kernel": "…", "python": "…", "sqlite": "…", "file_system": "ext4",
    "sync_ms": 0.5}`
    """
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
    """Return the kind of file system that a directory lies on, as the kernel calls it."""
    best, kind = Path("/"), "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _device, point, type_, *_ = line.split()
        if directory.resolve().is_relative_to(point) and Path(point).is_relative_to(best):
            best, kind = Path(point), type_
    return kind


def sync_ms(directory: Path) -> float:
    """Return the milliseconds that this disk takes to sync 4 KiB appended to a file: the median of many."""
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
