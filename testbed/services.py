"""The services and their usual ports, as `pyproject.toml` lists them under `[tool.threefold.ports]`."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]  # of the project


def read_ports(root: Path = ROOT) -> dict[str, int]:
    """Return the port of each service, by its name, in the order of the file."""
    with (root / "pyproject.toml").open("rb") as file:
        ports: dict[str, int] = tomllib.load(file)["tool"]["threefold"]["ports"]
    return ports


PORTS = read_ports()
SERVICES = tuple(PORTS)
