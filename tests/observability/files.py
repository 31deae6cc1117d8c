"""The files of observability/ as data: queries, and the metrics that they name."""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from testbed.services import ROOT

FOLDER = ROOT / "observability"
SELECTOR = re.compile(r"\b([a-z][a-z0-9:]*_[a-z0-9_:]+|up|ALERTS)\b(?! ?\()(\{[^}]*\})?")
GROUPING = re.compile(r"\b(by|without|on) \([^)]*\)")


def read(name: str) -> Any:
    """Return a YAML file of the folder."""
    return yaml.safe_load((FOLDER / name).read_text())


def rules() -> Iterator[dict[str, Any]]:
    """Yield all rules."""
    for group in read("rules.yml")["groups"]:
        yield from group["rules"]


def alerts() -> list[str]:
    """Return the names of all alerts."""
    return [rule["alert"] for rule in rules() if "alert" in rule]


def panels() -> list[dict[str, Any]]:
    """Return the panels of the dashboard, those with the title of a row too."""
    found: list[dict[str, Any]] = json.loads((FOLDER / "grafana/dashboards/threefold.json").read_text())["panels"]
    return found


def queries() -> dict[str, str]:
    """Return the expressions of all rules and panels by what they are."""
    shown = {
        f"{panel['title']} {target['refId']}": target["expr"].replace("$__range", "5m")
        for panel in panels()
        for target in panel.get("targets", ())
    }
    return shown | {rule.get("alert") or rule["record"]: rule["expr"] for rule in rules()}


def selectors(expression: str) -> set[str]:
    """Return the series that an expression reads: `{'up{job="threefold"}', 'write_queue_jobs'}`."""
    plain = GROUPING.sub("", expression)
    return {"".join(found) for found in SELECTOR.findall(plain)}
