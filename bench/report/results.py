"""The JSON of a run: for each part its figures, their time, commit and machine.

```
{"parts": {NAME: {"measured": {"at", "commit", "machine", "seconds", "others", "load_before", "options"},
                  "figures": {…} or "failed": "why"}}}
```
"""

import json
import os
import resource
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from testbed import ROOT

from .. import machine
from ..sampling import Settings

FILE = "results.json"
Json = dict[str, Any]


def load(directory: Path) -> Json:
    """Return earlier results; none where there is no file. Raises ValueError: the file is not one of ours."""
    try:
        content = json.loads((directory / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"parts": {}}
    if not isinstance(content, dict) or not isinstance(content.get("parts"), dict):
        raise ValueError(f"{directory / FILE} was not written by this benchmark: move it away")
    return content


def save(directory: Path, content: Json) -> None:
    """Write results in one step: a reader sees the old file or the new one, never a part."""
    directory.mkdir(parents=True, exist_ok=True)
    partial = directory / f"{FILE}.partial"
    partial.write_text(json.dumps(rounded(content), indent=1) + "\n", encoding="utf-8")
    partial.replace(directory / FILE)


def rounded(value: Any) -> Any:
    """Return the value with floats rounded to six significant digits: more is noise."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    return [rounded(inner) for inner in value] if isinstance(value, list) else value


def commit() -> str:
    """Return the commit of this checkout, with `, changed` if anything but the results differs from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/results")
        return git("rev-parse", "--short=10", "HEAD") + (", changed" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


class Circumstances:
    """The circumstances of a part: create it before the part, and ask it after the part."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._machine = machine.machine(settings.scratch)
        self._load = os.getloadavg()[0]
        self._at = datetime.now(UTC)
        self._began, self._busy, self._own = time.monotonic(), machine.busy_seconds(), own_cpu_seconds()

    def measured(self, ours: bool) -> Json:
        """Return the circumstances for the JSON.

        `ours`: only this process and its children worked for the part, so the rest of the CPU time is that of others.
        """
        seconds = time.monotonic() - self._began
        others = machine.busy_seconds() - self._busy - (own_cpu_seconds() - self._own)
        settings = self._settings
        return {
            "at": self._at.strftime("%Y-%m-%d %H:%M UTC"),
            "commit": commit(),
            "machine": self._machine,
            "seconds": seconds,
            "load_before": self._load,
            "others": max(others, 0.0) / seconds / self._machine["cores"] if ours else None,
            "options": {
                "short": settings.short,
                "rounds": settings.rounds,
                "seconds": settings.seconds,
            },
        }


def own_cpu_seconds() -> float:
    """Return the CPU time of this process and of all its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
