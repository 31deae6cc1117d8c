"""The rules of the tree, as functions of a checkout: which file imports which modules, which files a room has."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from testbed.services import ROOT, read_ports

PACKAGES = ("service_common", "loadgen", "testbed", "chaos", "bench", "lessons")
DATA = {"__pycache__", "templates", "scenarios", "results", "faults"}  # folders that hold no code
MOST_FILES = 10  # in a room, besides `__init__.py`


def services(root: Path = ROOT) -> tuple[str, ...]:
    """Return the package of each service."""
    return tuple(f"{name}_service" for name in read_ports(root))


def modules(root: Path, *packages: str) -> dict[str, Path]:
    """Return the files of packages by the name of their module: `{"loadgen.run.state": …/loadgen/run/state.py}`."""
    found = {}
    for package in packages:
        for file in sorted((root / package).rglob("*.py")):
            parts = file.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports(root: Path, module: str, file: Path) -> set[str]:
    """Return the full names of all modules and names that a file imports, those for type checks too."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level else ""
            source = ".".join(part for part in (base, node.module) if part)
            found |= {f"{source}.{alias.name}" for alias in node.names}
    return found


def is_in(name: str, package: str) -> bool:
    """Return True when a dotted name is a package, or something in it."""
    return name == package or name.startswith(f"{package}.")


def importers(root: Path, packages: tuple[str, ...], *imported: str) -> set[str]:
    """Return the modules of packages that import one of `imported` or something in it."""
    return {
        module
        for module, file in modules(root, *packages).items()
        if any(is_in(name, each) for name in imports(root, module, file) for each in imported)
    }


def upward(root: Path, package: str, floors: list[tuple[str, ...]]) -> list[str]:
    """Return the imports inside a package that do not run down: `["http.body imports factory"]`.

    `floors` names the package's rooms and modules, those at the top first. A module may import its own room and all
    floors below it, never a neighbour on its own floor.
    """
    floor_of = {room: number for number, floor in enumerate(floors) for room in floor}
    wrong = []
    for module, file in modules(root, package).items():
        own = module.removeprefix(package).lstrip(".").partition(".")[0]
        for name in sorted(imports(root, module, file)):
            if own and is_in(name, package) and (room := name.split(".")[1]) in floor_of and room != own:
                if own not in floor_of:
                    wrong.append(f"{own} has no floor")
                elif floor_of[room] <= floor_of[own]:
                    wrong.append(f"{module.removeprefix(package + '.')} imports {room}")
    return wrong


def rooms(root: Path, *packages: str) -> Iterator[Path]:
    """Yield all folders of packages that hold code."""
    for package in packages:
        for folder in [root / package, *sorted((root / package).rglob("*"))]:
            if folder.is_dir() and not DATA & set(folder.relative_to(root).parts):
                yield folder


def crowded(root: Path, *packages: str) -> dict[str, int]:
    """Return the rooms with more than ten files, and how many they have."""
    counts = {
        room.relative_to(root).as_posix(): sum(file.is_file() and file.name != "__init__.py" for file in room.iterdir())
        for room in rooms(root, *packages)
    }
    return {room: count for room, count in counts.items() if count > MOST_FILES}


def tree(page: str) -> dict[str, str]:
    """Return the paths and descriptions of the first fenced block of a page.

    ```
    service_common/   what the services share
      http/           bodies, queries, problems
      settings.py, ids.py
    ```

    A line is a path or several, then two or more spaces, then words. An indented path lies in the folder above it.
    """
    block = re.search(r"^```\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    found: dict[str, str] = {}
    folders: list[tuple[int, str]] = []
    for line in block[1].splitlines() if block else ():
        match = re.match(r"( *)(\S+(?:, \S+)*)(?: {2,}(.*))?$", line)
        if match is None:
            continue
        indent = len(match[1])
        while folders and folders[-1][0] >= indent:
            folders.pop()
        above = folders[-1][1] if folders else ""
        for path in match[2].split(", "):
            found[above + path] = match[3] or ""
            if path.endswith("/"):
                folders.append((indent, above + path))
    return found


def untrue(root: Path, shown: dict[str, str], *packages: str) -> list[str]:
    """Return the differences between a tree and a checkout.

    Every path that is shown exists. Every room of `packages` is shown. A folder that shows one of its modules shows all.
    """
    wrong = [f"{path} does not exist" for path in shown if not (root / path).exists()]
    for room in rooms(root, *packages):
        path = room.relative_to(root).as_posix()
        if f"{path}/" not in shown:
            wrong.append(f"{path}/ is not shown")
        files = {f"{path}/{file.name}" for file in room.glob("*.py") if file.name not in ("__init__.py", "__main__.py")}
        if files & shown.keys():
            wrong += [f"{file} is not shown" for file in sorted(files - shown.keys())]
    return wrong
