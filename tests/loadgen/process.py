"""The load generator as a process, against the services of the environment."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ARGUMENTS = ("--headless", "--writes", "300", "-u", "8", "-r", "8")
TIMEOUT_S = 60


def start(urls: dict[str, str], directory: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start it; its reports go to `directory`."""
    env = os.environ | {"REPORT_DIR": str(directory), "READY_TIMEOUT": "20"} | urls
    command = [sys.executable, "-m", "loadgen", *arguments]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for its end; return the exit status, standard output and standard error."""
    try:
        out, err = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    return process.returncode, out, err


def only_report(directory: Path) -> dict[str, Any]:
    """Return the JSON report of the only run in `directory`."""
    (path,) = directory.glob("report-*.json")
    content: dict[str, Any] = json.loads(path.read_text())
    return content
