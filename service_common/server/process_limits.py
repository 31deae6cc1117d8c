"""Memory and file descriptors of this process."""

import ctypes
import logging
import resource

M_MMAP_THRESHOLD = -3  # of malloc.h
LARGE_BLOCK = 128 << 10  # bytes

log = logging.getLogger("server")


def return_freed_memory() -> None:
    """Make the C library return every large block to the system as soon as it is freed.

    Otherwise the process keeps the memory that one flood made it take.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)


def raise_descriptor_limit(wanted: int) -> int:
    """Return the number of file descriptors that this process may open, after asking for `wanted`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    granted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))
    except (OSError, ValueError):
        granted = soft
    if granted < wanted:
        log.warning("only %d of %d file descriptors: fewer connections are served at once", granted, wanted)
    return granted
