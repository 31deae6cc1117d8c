"""Faults: small changes of the real code, kept as diffs in `faults/`. The code itself stays as it is.

A hunk has no line numbers. It stands for the one place where its old lines are, so it outlives changes elsewhere:

    --- a/service_common/storage/sqlite/file.py
    +++ b/service_common/storage/sqlite/file.py
    @@ class DatabaseFile, def open @@
    -        self.writing.pragma("synchronous", "full")
    +        self.writing.pragma("synchronous", "off")
"""

import difflib
import importlib
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

from testbed import ROOT, SERVICES

FAULTS = Path(__file__).with_name("faults")
CODE = (*(f"{name}_service" for name in SERVICES), "service_common", "loadgen", "pyproject.toml")  # what a run needs
HUNK = re.compile(r"^@@.*\n((?:[ +-].*\n|\n)+)", re.MULTILINE)


class DoesNotFit(Exception):
    """A fault does not fit the code; the message says where."""


def read(fault: str) -> str:
    """Return the diff of a fault as it is kept."""
    return (FAULTS / f"{fault}.diff").read_text(encoding="utf-8")


def apply(fault: str, root: Path = ROOT) -> dict[str, str]:
    """Return the files of a checkout that a fault changes, by path, as they are with it. Raises DoesNotFit."""
    changed: dict[str, str] = {}
    for part in re.split(r"^--- a/", read(fault), flags=re.MULTILINE)[1:]:
        path = part.split("\n", 1)[0]
        text = (root / path).read_text(encoding="utf-8")
        for hunk in HUNK.findall(part):
            old, new = ("".join(f"{line[1:]}\n" for line in hunk.splitlines() if line[:1] != sign) for sign in "+-")
            if text.count(old) != 1:
                raise DoesNotFit(f"{fault}.diff: these lines are in {path} {text.count(old)} times, not once:\n{old}")
            text = text.replace(old, new)
        changed[path] = text
    return changed


def numbered(fault: str) -> str:
    """Return a fault as a diff that `git apply` takes. Raises DoesNotFit."""
    lines: list[str] = []
    for path, text in apply(fault).items():
        before = (ROOT / path).read_text(encoding="utf-8").splitlines(keepends=True)
        lines += difflib.unified_diff(before, text.splitlines(keepends=True), f"a/{path}", f"b/{path}")
    return "".join(lines)


def copy_code(directory: Path, fault: str | None = None) -> Path:
    """Make `directory` anew as a copy of the code, perhaps with a fault in it, and return it. Raises DoesNotFit."""
    changed = apply(fault) if fault else {}
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for name in CODE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, directory)
    for path, text in changed.items():
        (directory / path).write_text(text, encoding="utf-8")
    return directory


def variant(module: str, fault: str) -> ModuleType:
    """Return a module of this project once more, as it is with a fault. The real one stays as it is."""
    real = importlib.import_module(module)
    path = Path(real.__file__ or "").relative_to(ROOT).as_posix()
    name = f"{module}_{fault.replace('-', '_')}"
    faulty = ModuleType(name, real.__doc__)
    faulty.__package__, faulty.__file__ = real.__package__, f"{real.__file__} with {fault}.diff"
    sys.modules[name] = faulty  # where dataclasses look for it
    exec(compile(apply(fault)[path], faulty.__file__, "exec"), vars(faulty))  # noqa: S102 - our own code
    return faulty
