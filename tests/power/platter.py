"""A disk that loses power: an SQLite VFS in memory that knows what is certain to be on the platter.

What was written, truncated, created or deleted since the last sync is pending. A power cut keeps, drops or tears each
pending operation by itself, in any order. Of a torn one only some sectors arrive; others may hold garbage.

A directory is synced where SQLite's own VFS for Unix does it: at the first sync of a journal or log that was opened to
be created, and at a delete that asks for it. Until then a new file may vanish and a deleted one may come back.
The wal-index and the locks are the operating system's, on empty files of the same names. A power cut removes them.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

SECTOR = 512  # bytes that arrive together or not at all
LOGS = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL


class PowerLost(Exception):
    """A defect of the test: the power was cut twice."""


def gone() -> apsw.IOError:
    error = apsw.IOError("the power is off")
    error.extendedresult = apsw.SQLITE_IOERR
    return error


@dataclass(frozen=True, slots=True)
class Change:
    """A write of `data` at `offset`, or where `data` is None a truncation to `offset` bytes."""

    offset: int
    data: bytes | None

    def apply(self, content: bytearray) -> None:
        if self.data is None:
            del content[self.offset :]
            return
        content.extend(bytes(max(0, self.offset - len(content))))
        content[self.offset : self.offset + len(self.data)] = self.data


@dataclass(eq=False)
class Inode:
    """The content of a file as it is read now, what of it is certain, and the changes between the two."""

    now: bytearray = field(default_factory=bytearray)
    certain: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)

    def change(self, change: Change) -> None:
        change.apply(self.now)
        self.pending.append(change)

    def sync(self) -> None:
        for change in self.pending:
            change.apply(self.certain)
        self.pending.clear()


class Platter(apsw.VFS):
    """Give `name` to the database as its VFS. `directory` holds the empty files for locks; the content is in memory."""

    def __init__(self, name: str, directory: Path, chance: random.Random) -> None:
        super().__init__(name, base="")
        self.name = name
        self.off = False
        self.life = 0  # power cuts so far; files opened before the last one fail
        self.cut_in: int | None = None  # operations until the power goes
        self.counts: Counter[str] = Counter()
        self._directory = directory
        self._chance = chance
        self._entries: dict[str, Inode] = {}
        self._certain_entries: dict[str, Inode] = {}

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        if self.off:
            raise gone()
        if name is None:
            return apsw.VFSFile("", name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        if path not in self._entries:
            if not flags[0] & apsw.SQLITE_OPEN_CREATE:
                raise apsw.CantOpenError("no such file")
            self.count_down()
            self._entries[path] = Inode()
        Path(path).touch()  # for the locks
        return File(self, self._entries[path], name, flags)

    def xAccess(self, pathname: str, flags: int) -> bool:
        if self.off:
            raise gone()
        if flags == apsw.SQLITE_ACCESS_EXISTS:
            return pathname in self._entries and len(self._entries[pathname].now) > 0
        return True

    def xDelete(self, filename: str, syncdir: bool) -> None:
        try:
            self.count_down()
        except apsw.IOError:
            return  # apsw would raise it where a connection is closed
        if self._entries.pop(filename, None) is None:
            error = apsw.IOError("no such file")
            error.extendedresult = apsw.SQLITE_IOERR_DELETE_NOENT
            raise error
        Path(filename).unlink(missing_ok=True)
        if syncdir:
            self.sync_directory()

    def sync_directory(self) -> None:
        self._certain_entries = dict(self._entries)

    def count_down(self) -> None:
        """Count an operation that changes something; call it before.

        Raises:
            apsw.IOError: the power is off, or goes now.
        """
        if not self.off and self.cut_in is not None:
            self.cut_in -= 1
            if self.cut_in <= 0:
                self.cut()
        if self.off:
            raise gone()

    def cut(self) -> None:
        """Turn the power off. From here on every operation fails."""
        if self.off:
            raise PowerLost
        self.off = True
        self.counts["cuts"] += 1

    def power_on(self) -> None:
        """Decide what the cut has left. All connections must be closed."""
        left: dict[str, Inode] = {}
        for path in sorted(self._entries.keys() | self._certain_entries.keys()):
            now, certain = self._entries.get(path), self._certain_entries.get(path)
            if now is not certain:
                self.counts["directory entries in doubt"] += 1
            inode = self._chance.choice((now, certain))
            if inode is not None:
                left[path] = inode
        for inode in left.values():
            content = self._survivors(inode)
            inode.now, inode.certain, inode.pending = content, bytearray(content), []
        self._entries, self._certain_entries = left, dict(left)
        for path in self._directory.iterdir():
            if path.suffix != ".lock":
                path.unlink()
        self.cut_in, self.off = None, False
        self.life += 1

    def _survivors(self, inode: Inode) -> bytearray:
        chance, content = self._chance, bytearray(inode.certain)
        changes = list(inode.pending)
        self.counts["changes in doubt"] += len(changes)
        mood = chance.choice(("none", "all", "some", "some", "torn", "torn"))
        if len(changes) > 1 and mood in ("some", "torn") and chance.random() < 0.5:
            chance.shuffle(changes)
            self.counts["reordered"] += len(changes)
        for change in changes:
            if mood == "none" or (mood == "some" and chance.random() < 0.5):
                self.counts["dropped"] += 1
            elif mood == "torn" and change.data is not None and chance.random() < 0.5:
                self.counts["torn"] += 1
                self._tear(change, content)
            else:
                change.apply(content)
        return content

    def _tear(self, change: Change, content: bytearray) -> None:
        """Let some sectors of a write arrive, some not, and some as garbage."""
        assert change.data is not None
        at, end = change.offset, change.offset + len(change.data)
        while at < end:
            upto = min(end, at - at % SECTOR + SECTOR)
            fate = self._chance.random()
            if fate < 0.5:
                Change(at, change.data[at - change.offset : upto - change.offset]).apply(content)
            elif fate < 0.6:
                Change(at, self._chance.randbytes(upto - at)).apply(content)
            at = upto


class File(apsw.VFSFile):
    """A file of the platter."""

    def __init__(self, disk: Platter, inode: Inode, name: Any, flags: list[int]) -> None:
        self._disk = disk
        self._inode = inode
        self._life = disk.life
        self._syncs_directory = bool(flags[0] & LOGS and flags[0] & apsw.SQLITE_OPEN_CREATE)
        super().__init__("", name, flags)

    def _check(self) -> None:
        if self._disk.off or self._disk.life != self._life:
            raise gone()

    def _change(self) -> None:
        self._check()
        self._disk.count_down()

    def xRead(self, amount: int, offset: int) -> bytes:
        self._check()
        return bytes(self._inode.now[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:
        self._change()
        self._inode.change(Change(offset, bytes(data)))

    def xTruncate(self, size: int) -> None:
        self._change()
        if size < len(self._inode.now):
            self._inode.change(Change(size, None))

    def xFileSize(self) -> int:
        self._check()
        return len(self._inode.now)

    def xSync(self, flags: int) -> None:
        self._change()
        self._inode.sync()
        if self._syncs_directory:
            self._disk.sync_directory()
            self._syncs_directory = False
