"""The JSON of a run: for each part what was measured, when, of which commit, on which machine.

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

from . import proc
from .sampling import Settings

ROOT = Path(__file__).parents[1]
FILE = "results.json"
Json = dict[str, Any]


def load(directory: Path) -> Json:
    """What was measured before; nothing where there is no file. Raises ValueError: it is not one of ours."""
    try:
        content = json.loads((directory / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"parts": {}}
    if not isinstance(content, dict) or not isinstance(content.get("parts"), dict):
        raise ValueError(f"{directory / FILE} was not written by this benchmark: move it away")
    return content


def save(directory: Path, content: Json) -> None:
    """Keep it; a reader sees the whole of it or what was there before."""
    directory.mkdir(parents=True, exist_ok=True)
    partial = directory / f"{FILE}.partial"
    partial.write_text(json.dumps(rounded(content), indent=1) + "\n", encoding="utf-8")
    partial.replace(directory / FILE)


def rounded(value: Any) -> Any:
    """The same with floats to six significant digits: more is noise."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    return [rounded(inner) for inner in value] if isinstance(value, list) else value


def commit() -> str:
    """The commit of this checkout, and whether something but the results has been changed since."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/results")
        return git("rev-parse", "--short=10", "HEAD") + (", changed" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


class Circumstances:
    """What a part was measured under; to be made before it, and asked after it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._machine = proc.machine(settings.scratch)
        self._load = os.getloadavg()[0]
        self._at = datetime.now(UTC)
        self._began, self._busy, self._own = time.monotonic(), proc.busy_seconds(), own_cpu_seconds()

    def measured(self, ours: bool) -> Json:
        """For the JSON. `ours`: all that worked for the part was this process and those it has waited for."""
        seconds = time.monotonic() - self._began
        others = proc.busy_seconds() - self._busy - (own_cpu_seconds() - self._own)
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
    """CPU time of this process and of all its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
