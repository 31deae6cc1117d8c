"""The files of observability/: what promtool and Compose say of them."""

import json
import os
import re
import shutil
import subprocess

import pytest

from testbed.services import ROOT

from .files import FOLDER, alerts, panels, read, selectors

COMPOSE = ("docker", "compose", "-f", "docker-compose.yml")


@pytest.mark.parametrize(
    "command", ["check rules rules.yml", "test rules rules.test.yml", "check config --syntax-only prometheus.yml"]
)
def test_promtool_accepts(command: str) -> None:
    if shutil.which("promtool") is None:
        reason = "no promtool (Debian: apt install prometheus)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    done = subprocess.run(["promtool", *command.split()], cwd=FOLDER, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_tested_where_it_fires_and_where_it_does_not() -> None:
    cases = [case for test in read("rules.test.yml")["tests"] for case in test["alert_rule_test"]]
    for alert in alerts():
        assert {bool(case.get("exp_alerts")) for case in cases if case["alertname"] == alert} == {True, False}, alert


def test_the_dashboard_has_its_rows_and_no_panel_lies_on_another() -> None:
    rows = [panel["title"] for panel in panels() if panel["type"] == "row"]
    assert rows == ["Rates, errors, durations", "Group commit", "Look-ups", "Saturation", "Error budget"]
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        own = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not own & taken, panel["title"]
        taken |= own
    assert len({panel["id"] for panel in panels()}) == len(panels())


def test_the_series_of_an_expression_are_found() -> None:
    expression = 'sum by (some_label) (rate(a_total{of=~"5.."}[1m])) / 0.1 > max(b:c_d:rate1m) or absent(up{job="x"})'
    assert selectors(expression) == {'a_total{of=~"5.."}', "b:c_d:rate1m", 'up{job="x"}'}


@pytest.mark.engine
@pytest.mark.parametrize("others", [(), ("compose.postgres.yml",), ("compose.token.yml",)])
def test_compose_accepts_the_files_without_warnings(engine: None, others: tuple[str, ...]) -> None:
    files = [word for name in ("compose.observability.yml", *others) for word in ("-f", name)]
    environ = os.environ | {"API_TOKEN_FILE": "README.md"} if others == ("compose.token.yml",) else os.environ
    done = subprocess.run(
        [*COMPOSE, *files, "config", "--format", "json"], cwd=ROOT, env=environ, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    services = json.loads(done.stdout)["services"]
    for name in ("prometheus", "jaeger", "grafana"):
        one = services[name]
        assert re.fullmatch(r"[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", one["image"])
        assert (one["read_only"], one["cap_drop"], one["security_opt"]) == (True, ["ALL"], ["no-new-privileges:true"])
        assert 0 < int(one["mem_limit"]) <= 400 << 20
        assert one["pids_limit"] and one["cpus"] and one["init"]
        assert [port["host_ip"] for port in one["ports"]] == ["127.0.0.1"]
    aliases = {name: services[name]["networks"]["inside"]["aliases"] for name in ("users", "products", "orders")}
    assert all(f"{name}.each" in each for name, each in aliases.items())
    asked = read("prometheus.yml")["scrape_configs"][0]["dns_sd_configs"][0]["names"]
    assert asked == [f"{name}.each" for name in aliases]
