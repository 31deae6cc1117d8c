"""Does anybody know of holes in what is locked? Asks PyPI through pip-audit, or the OSV service at OSV_URL.

Exit status 0: none is known, or nobody could be asked, which is said; 1: one is known; 2: the audit itself failed.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

LOCKS = [Path("requirements") / f"{name}.txt" for name in ("bench", "fuzz")]  # bench holds all of the others
ANSWER_S = 10  # for one package
# What pip-audit ends with when its source is not there or answers with an error.
UNREACHABLE = re.compile(
    r"(requests|urllib3)\.exceptions\.|_service\.interface\.(ServiceError|ConnectionError)|Could not connect"
)


class Unreachable(Exception):
    """The source of known holes gave no answer."""


class Failed(Exception):
    """pip-audit could not do its work; the message says why."""


def ask(lock: Path) -> list[dict[str, Any]]:
    """What is known of each package in `lock`, as pip-audit says it. Raises Unreachable, Failed."""
    source = ["-s", "osv", "--osv-url", url] if (url := os.environ.get("OSV_URL")) else ["-s", "pypi"]
    command = [sys.executable, "-m", "pip_audit", "-r", str(lock), *source, "--require-hashes", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off", "--timeout", str(ANSWER_S)]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        known: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise (Unreachable if UNREACHABLE.search(done.stderr) else Failed)(reason) from None
    return known


def first_of(lock: Path) -> str:
    """The first package of a lock, with its hashes."""
    text = lock.read_text(encoding="utf-8")
    found = re.search(r"^[a-z0-9].*(\n    --hash.*)+\n", text, re.MULTILINE)
    if not found:
        raise Failed(f"{lock} locks nothing")
    return found[0]


def audit(locks: list[Path]) -> int:
    """Print what is known, and give the exit status."""
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as one:  # a source that is not there is asked once
            one.write(first_of(locks[0]))
            one.flush()
            first = ask(Path(one.name))
        answers = first and not any("skip_reason" in each for each in first)
        known = [each for lock in locks for each in ask(lock)] if answers else first
    except Unreachable as unreachable:
        print(f"WARNING: known holes in locked packages were NOT checked: {unreachable}")
        return 0
    except Failed as failed:
        print(f"The audit of locked packages failed: {failed}", file=sys.stderr)
        return 2
    holes = [(each, hole) for each in known for hole in each.get("vulns", ())]
    for package, hole in holes:
        fixed = ", ".join(hole["fix_versions"]) or "no version yet"
        print(f"{package['name']} {package['version']} has {hole['id']}, fixed in {fixed}", file=sys.stderr)
    unknown = [each for each in known if "skip_reason" in each]
    if known is first or len(unknown) == len(known):
        print("WARNING: known holes in locked packages were NOT checked: the source knows none of them")
    elif unknown:
        names = ", ".join(each["name"] for each in unknown)
        print(f"WARNING: the source does not know {len(unknown)} of {len(known)} locked packages: {names}")
    else:
        print(f"No hole is known in {len(known)} locked packages" if not holes else f"{len(holes)} known holes")
    return 1 if holes else 0


if __name__ == "__main__":
    sys.exit(audit([Path(name) for name in sys.argv[1:]] or LOCKS))
