"""Set up `.venv` in the current directory with the locked requirements, where it does not work yet.

`check [PYTHON]` runs in `.venv` and exits 0 if it was set up here, by the interpreter that runs it now, from the lock
as it is now. A checkout that was moved or copied, or whose Python was upgraded, fails. `make` sets it up anew.
"""

import fcntl
import hashlib
import json
import os
import re
import subprocess
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

VENV = Path(".venv")
PYTHON = str(VENV / "bin/python")
STAMP = VENV / ".ready"
LOCK = Path("requirements/dev.txt")
INTERPRETER = "import sys; print(sys.base_prefix, sys.version)"
SEEN = re.compile(r"(Collecting|Ignoring|Requirement already satisfied:) ([A-Za-z0-9._-]+)")
SHOWN_LINES = 20  # of pip's output, where it failed


def state() -> dict[str, str]:
    """Return the facts on which this environment depends; when one changes, it must be set up again."""
    return {
        "prefix": sys.prefix,  # scripts name it in their first line
        "interpreter": os.path.realpath(sys.executable),
        "version": sys.version,
        "lock": hashlib.sha256(LOCK.read_bytes()).hexdigest(),
    }


def packages() -> set[str]:
    """Return the installed distributions, each with its version."""
    return {name for name in os.listdir(sysconfig.get_path("purelib")) if name.endswith(".dist-info")}


def works(asked: str) -> bool:
    """Return True when this environment is set up; `asked` names the Python that it must come from, if any."""
    try:
        stamp = json.loads(STAMP.read_text())
        complete = set(stamp.pop("packages")) <= packages()
    except (OSError, ValueError, LookupError, AttributeError):
        return False
    if asked and subprocess.run([asked, "-c", INTERPRETER], capture_output=True, text=True).stdout != (
        f"{sys.base_prefix} {sys.version}\n"
    ):
        return False
    return bool(complete and stamp == state())


def fail(reason: str) -> NoReturn:
    print(reason, file=sys.stderr)
    sys.exit(2)


def install() -> None:
    """Run pip, and show how far it is: one line that changes on a terminal, elsewhere a line for every tenth part."""
    total = len(re.findall(r"^[a-z0-9].*==", LOCK.read_text(), re.MULTILINE))
    command = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check"]
    command += ["--progress-bar", "off", "--require-hashes", "-r", str(LOCK)]
    terminal, done, lines = sys.stdout.isatty(), 0, []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            lines.append(line.rstrip())
            if line.startswith("Installing collected"):
                print("\r\033[K" * terminal + "  installing ...", flush=True)
            elif found := SEEN.match(line):
                done += 1
                if terminal:
                    print(f"\r\033[K  {done} of {total}: {found[2]}", end="", flush=True)
                elif done * 10 // total > (done - 1) * 10 // total:
                    print(f"  {done} of {total} packages", flush=True)
    if pip.returncode:
        print("", *lines[-SHOWN_LINES:], sep="\n", file=sys.stderr)
        fail("The locked requirements could not be installed, see above. Correct that and start again.")


def make() -> None:
    """Make `.venv` anew. Exits with status 2 and a sentence where it cannot."""
    with LOCK.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another make is setting up .venv: waiting for it ...", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(OSError):  # no interpreter there
            if subprocess.run([PYTHON, "-I", __file__, "check"], stderr=subprocess.DEVNULL).returncode == 0:
                return
        if VENV.is_symlink():
            fail(
                f".venv is a symbolic link to {os.readlink(VENV)} and is not set up for this directory. What it leads"
                " to was left as it is: remove the link and start again."
            )
        print("Setting up .venv with the locked requirements (once, a minute or two) ...", flush=True)
        if subprocess.run([sys.executable, "-m", "venv", "--clear", VENV]).returncode:
            fail("No virtual environment could be made: install the venv module (Debian: apt install python3-venv).")
        install()
        subprocess.run([PYTHON, "-I", __file__, "stamp"], check=True)


if __name__ == "__main__":
    if sys.argv[1] == "check":
        sys.exit(not works(sys.argv[2] if len(sys.argv) > 2 else ""))
    if sys.argv[1] == "stamp":
        STAMP.write_text(json.dumps({**state(), "packages": sorted(packages())}))
    else:
        try:
            make()
        except KeyboardInterrupt:
            sys.exit(130)  # as a shell says of Ctrl-C; the next make begins anew
