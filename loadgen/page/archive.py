"""The runs whose reports lie in the directory of reports, also those of earlier processes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent

from ..run.state import FILES, file_of

MOST_RUNS = 100  # that are listed, the latest first
MARK = "report-{}.json"


class Archive:
    """Summaries of reports. A file is read once, and again when it has changed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: dict[Path, tuple[tuple[int, int], dict[str, Any] | None]] = {}

    def version(self) -> str:
        """Return a text that changes when there is another report."""
        files = self._files()
        return f"{len(files)}-{files[0][0] if files else 0}"

    def runs(self) -> list[dict[str, Any]]:
        """Return the summaries, the latest first; without the parts of distributed runs."""
        return list(self._runs())

    def _files(self) -> list[tuple[int, Path, int]]:
        found = []
        for path in self._directory.glob(MARK.format("*")):
            try:
                status = path.stat()
            except OSError:  # it has just been removed
                continue
            found.append((status.st_mtime_ns, path, status.st_size))
        return sorted(found, reverse=True)[:MOST_RUNS]

    def _runs(self) -> Iterator[dict[str, Any]]:
        files = self._files()
        self._read = {path: self._read[path] for _, path, _ in files if path in self._read}
        for changed, path, size in files:
            known = self._read.get(path)
            if known is None or known[0] != (changed, size):
                known = self._read[path] = (changed, size), summary(path)
                gevent.sleep(0)  # many files must not keep the load waiting
            if known[1] is not None:
                mark = known[1]["run"]
                yield known[1] | {"files": [kind for kind in FILES if file_of(self._directory, mark, kind).is_file()]}


def summary(path: Path) -> dict[str, Any] | None:
    """Return what the list shows of a report; None: the file is no report, or one of a worker."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        load, settings = report["load"], report.get("settings") or {}
        if settings.get("part_of_run") or path.name != MARK.format(report["run"]):
            return None
        return {
            "run": report["run"],
            "started_at": report.get("started_at"),
            "verdict": report["verdict"],
            "summary": report["summary"],
            "scenario": settings.get("scenario"),
            "users": settings.get("users"),
            "rate": load.get("rate"),
            "title": settings.get("title"),
            **{name: load[name] for name in ("writes", "seconds", "writes_per_second", "requests_per_second")},
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
