"""CPU time and memory of processes, as the kernel counts them. Linux only."""

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return []
    return [pid, *(each for child in children for each in tree(int(child)))]


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of a process and all its descendants so far, without those that have ended."""
    return sum(_ticks(each) for each in tree(pid)) / TICKS


def _ticks(pid: int) -> int:
    # The name, in brackets, may hold anything; user and system time are the 14th and 15th field.
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(after_name[11]) + int(after_name[12])


def pss_mb(pid: int) -> float:
    """Return the proportional set size of a process tree in MB: a page that n processes share counts 1/n in each."""
    return sum(_field_kib(f"/proc/{each}/smaps_rollup", "Pss") for each in tree(pid)) * 1024 / 1e6


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process tree in MB; a shared page counts in each process."""
    return sum(_field_kib(f"/proc/{each}/status", "VmRSS") for each in tree(pid)) * 1024 / 1e6


def peak_mb(pid: int) -> float:
    """Return the most memory in MB that any process of a tree has ever had."""
    return max(_field_kib(f"/proc/{each}/status", "VmHWM") for each in tree(pid)) * 1024 / 1e6


def _field_kib(path: str, field: str) -> int:
    for line in Path(path).read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise RuntimeError(f"{path} has no {field}")
