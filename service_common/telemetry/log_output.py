"""Standard output that never makes its writer wait, whatever its reader does.

Lines go to a bounded buffer. A busy service writes them itself, a few kilobytes at a time, where that cannot block: to
a file, or to a pipe that is nearly empty. Everything else is left to a thread. So when the reader stalls, only that
thread waits; when the buffer is full, lines are dropped and counted. The thread is a native one, also under gevent.
The descriptor stays a blocking one: O_NONBLOCK would belong to every process that shares the terminal or pipe.

A thread that writes all lines would have to win Python's interpreter lock for each piece.
"""

import atexit
import errno
import fcntl
import os
import stat
import struct
import termios
import time
from collections.abc import Iterable, Iterator
from select import PIPE_BUF

from gevent.monkey import get_original

MOST_BYTES = 1 << 20  # that wait to be written; more are dropped
FULL_PIECE = PIPE_BUF - 1024  # bytes; with as many, the writer of a line does not leave them to the thread
PAUSE_S = 0.02  # before the thread writes, so that it writes many lines at once, or a busy service has done it
FLUSH_S = 1.0  # that the end of the process waits for the reader

allocate_lock = get_original("_thread", "allocate_lock")
recursive_lock = get_original("_thread", "RLock")
start_new_thread = get_original("_thread", "start_new_thread")


def room(descriptor: int) -> int:
    """Return how many bytes a write to `descriptor` can have without waiting for a reader; 0 where nobody can tell.

    A pipe counts as full when a quarter of it is: other processes may write to it at the same moment, and small writes
    need up to twice their size.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return PIPE_BUF
    if not stat.S_ISFIFO(mode) or not hasattr(fcntl, "F_GETPIPE_SZ"):
        return 0
    (waiting,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"    "))
    return max(0, fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ) // 4 - int(waiting))


def sleep(seconds: float) -> None:
    """Block this native thread. `time.sleep` would be gevent's."""
    lock = allocate_lock()
    lock.acquire()
    lock.acquire(timeout=seconds)


class LogOutput:
    """Writes lines to a file descriptor, in order and whole. `dropped` counts those that could not be written."""

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._start_anew()
        os.register_at_fork(after_in_child=self._start_anew)
        atexit.register(self.flush)

    def _start_anew(self) -> None:
        """Begin in this process. A forked child inherits its parent's lines, which the parent writes, but no thread."""
        self.dropped = 0
        self._lines: list[str] = []
        self._bytes = 0  # in `_lines`, and of those that are being written
        self._lock = recursive_lock()  # recursive, since a signal handler may log while it is held
        self._more = allocate_lock()  # released when the thread should look for lines
        self._thread_waits = False
        self._thread_writes = False
        self._has_thread = False
        self._written_at_once = 0  # pieces that the writers of lines have written
        self._line_is_open = False  # a write failed in the middle of a line

    def write(self, line: str) -> None:
        """Write a line of ASCII, its line break included, soon. It is dropped where too many bytes wait already."""
        size = len(line)
        with self._lock:
            if self._bytes + size > MOST_BYTES:
                self.dropped += 1
                return
            self._lines.append(line)
            self._bytes += size
            if self._bytes >= FULL_PIECE and not self._thread_writes and self._write_at_once():
                return
            if self._thread_waits:
                self._thread_waits = False
                self._more.release()
            elif not self._has_thread:
                self._has_thread = True
                start_new_thread(self._run, ())

    def flush(self, timeout: float = FLUSH_S) -> None:
        """Wait until all lines are written, at most `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while self._bytes and time.monotonic() < deadline:
            sleep(PAUSE_S / 10)

    def _write_at_once(self) -> bool:
        """Write the lines that wait, if that cannot block. The caller has the lock, and the thread does not write."""
        try:
            if room(self._descriptor) < self._bytes or self._bytes > PIPE_BUF:
                return False
        except OSError:
            return False
        lines, self._lines = self._lines, []
        self._bytes = 0
        self._written_at_once += 1
        self._write("".join(lines))
        return True

    def _run(self) -> None:
        more = self._more
        while True:
            with self._lock:
                self._thread_writes = False
                if not self._lines:
                    self._thread_waits = True
                    more.acquire(blocking=False)
            if self._thread_waits:
                more.acquire()
            seen = -1
            while seen != self._written_at_once:  # a busy service writes its lines itself
                seen = self._written_at_once
                sleep(PAUSE_S)
            with self._lock:
                lines, self._lines = self._lines, []
                self._thread_writes = True
            for piece in pieces(lines):
                self._write(piece)
            with self._lock:
                self._bytes -= sum(map(len, lines))

    def _write(self, piece: str) -> None:
        data = piece.encode("ascii", "replace")
        if self._line_is_open:
            data = b"\n" + data
        left = data
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except OSError as error:
                if error.errno == errno.EAGAIN:  # another process has made the descriptor a non-blocking one
                    sleep(PAUSE_S)
                    continue
                written = data[: len(data) - len(left)]
                self.dropped += left.count(b"\n") - (self._line_is_open and not written)
                if written:
                    self._line_is_open = not written.endswith(b"\n")
                return
        self._line_is_open = False


def pieces(lines: Iterable[str]) -> Iterator[str]:
    """Join lines into pieces that a pipe takes at once, so that another process's lines never come between.

    Only a line that is longer than that by itself makes a longer piece.
    """
    piece: list[str] = []
    size = 0
    for line in lines:
        if piece and size + len(line) >= PIPE_BUF:
            yield "".join(piece)
            piece, size = [], 0
        piece.append(line)
        size += len(line)
    yield "".join(piece)
