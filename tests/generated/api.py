"""Runs of schemathesis against one of three services in processes, and their figures."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from testbed import Fleet

from ..services.client import created, new_product, new_user, served

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("schemathesis.toml")
PRESENT = [1, 2, 3, 4, 5]  # ids of users and products that orders may name; schemathesis.toml has them, too
LIMITED = [6, 7, 8, 9, 10]  # ids of products whose stock can be changed; they stand there, too


def furnish(fleet: Fleet) -> None:
    """Create the users and products that orders may name, and limited products, in a new fleet."""
    for _ in PRESENT:
        made = created(fleet.users, new_user())["id"], created(fleet.products, new_product())["id"]
    assert made == (PRESENT[-1], PRESENT[-1]), "these must be the first of an empty fleet"
    assert [created(fleet.products, new_product(stock=1000))["id"] for _ in LIMITED] == LIMITED


def run(fleet: Fleet, name: str, *options: str) -> tuple[int, str, dict[str, Any]]:
    """Run `st run` with `options` on the service `name`. Return its exit status, its output and the figures."""
    process = served(fleet, name)
    figures = process.directory / f"{name}.figures.json"
    figures.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", "--no-color", *options,
         f"{process.url}/openapi.json"],
        cwd=process.directory, env=os.environ | {"PYTHONPATH": str(ROOT), "DATABASE": str(process.database), "FIGURES": str(figures)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert figures.exists(), done.stdout
    return done.returncode, done.stdout, json.loads(figures.read_text())
