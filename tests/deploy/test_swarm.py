"""deploy/swarm: its files fit each other. `make swarm` and the campaign run it."""

import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed import ROOT

HERE = ROOT / "deploy/swarm"
SERVICES = ("users", "products", "orders")
REPLICATED = (*SERVICES, "database")


@cache
def stack() -> dict[str, Any]:
    """The stack as Compose reads it."""
    if shutil.which("docker") is None:
        reason = "no Compose: install it to check deploy/swarm"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    command = ["docker", "compose", "-f", "stack.yml", "config", "--format", "json"]
    done = subprocess.run(
        command, cwd=HERE, env=os.environ | {"STACK": "x"}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    read: dict[str, Any] = json.loads(done.stdout)
    return read


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = stack()["services"][name]
    return found


def test_every_secret_is_made_and_every_file_is_there() -> None:
    script = (HERE / "swarm.sh").read_text()
    made = {"token", *re.findall(r"for service in ((?:\w+ ?)+); do keep \$service \"", script)[0].split()}
    made |= {
        f"{name}-url"
        for name in SERVICES
        if f"{name}" in re.findall(r"for service in (.*); do keep \$service-url", script)[0]
    }
    assert {each["name"] for each in stack()["secrets"].values()} == {f"x-{name}" for name in made}
    assert all(Path(each["file"]).is_file() for each in stack()["configs"].values())


def test_a_service_gets_its_own_url_only_and_finds_it_where_it_looks() -> None:
    for name in SERVICES:
        mounted = {each["source"]: Path(each.get("target", each["source"])).name for each in service(name)["secrets"]}
        assert mounted.keys() == {"token", f"{name}-url"}
        settings = service(name)["environment"]
        assert settings["DATABASE_URL_FILE"] == f"/run/secrets/{mounted[f'{name}-url']}"
        assert settings["API_TOKEN_FILE"] == f"/run/secrets/{mounted['token']}"
    assert '"postgresql://$service:$(draw)@database:5432/$service"' in (HERE / "swarm.sh").read_text()


def test_names_lead_to_services_that_share_a_network() -> None:
    networks = {name: set(each["networks"]) for name, each in stack()["services"].items()}
    for name in ("orders", "loadgen"):
        urls = {key: value for key, value in service(name)["environment"].items() if key.endswith("_URL")}
        for url in urls.values():
            host, port = re.fullmatch(r"http://([\w-]+):(\d+)", url).groups()  # type: ignore[union-attr]
            assert networks[name] & networks[host], url
            assert port == "8000"
    nodes = re.findall(r"server (\w+) (\w+):5432", (HERE / "database.cfg").read_text())
    assert [name for name, _ in nodes] == [host for _, host in nodes] == ["pg1", "pg2", "pg3"]
    patroni = yaml.safe_load((HERE / "patroni.yml").read_text())
    for each in patroni["etcd3"]["hosts"].split(","):
        assert networks["pg1"] & networks[each.partition(":")[0]] == {"consensus"}
    assert networks["database"] == networks["users"] & networks["pg1"] == {"data"}


def test_nothing_leads_out_and_only_front_doors_publish_ports() -> None:
    assert {name for name, each in stack()["networks"].items() if not each.get("internal")} == {"front"}
    assert {name for name, each in stack()["services"].items() if "ports" in each} == {
        f"{name}-front" for name in SERVICES
    }
    assert {name for name, each in stack()["services"].items() if "front" in each["networks"]} == {
        f"{name}-front" for name in SERVICES
    }


def test_a_commit_needs_a_synchronous_standby() -> None:
    dcs = yaml.safe_load((HERE / "patroni.yml").read_text())["bootstrap"]["dcs"]
    assert (dcs["synchronous_mode"], dcs["synchronous_mode_strict"]) == (True, True)
    assert dcs["maximum_lag_on_failover"] > 1 << 29  # else a standby that lacks what nobody was told does not lead
    assert dcs["ttl"] >= dcs["loop_wait"] + 2 * dcs["retry_timeout"]
    assert dcs["postgresql"]["parameters"]["synchronous_commit"] == "on"


def test_an_update_starts_a_new_replica_first_and_goes_back_by_itself() -> None:
    for name in REPLICATED:
        update = service(name)["deploy"]["update_config"]
        assert (update["order"], update["failure_action"]) == ("start-first", "rollback")
        assert service(name)["deploy"]["replicas"] == 2
        assert "healthcheck" in service(name)


def test_data_stays_on_its_node_and_the_nodes_differ() -> None:
    for kind in ("etcd", "pg"):
        placed = [service(f"{kind}{number}")["deploy"]["placement"]["constraints"] for number in (1, 2, 3)]
        assert placed == [[f"node.labels.threefold-{number} == yes"] for number in (1, 2, 3)]
        volumes = [service(f"{kind}{number}")["volumes"][0]["source"] for number in (1, 2, 3)]
        assert volumes == [f"{kind}{number}" for number in (1, 2, 3)]


def test_every_container_is_read_only_without_capabilities_and_limited() -> None:
    for name, each in stack()["services"].items():
        assert (each["read_only"], each["cap_drop"], each["init"]) == (True, ["ALL"], True), name
        assert {"memory", "pids"} <= each["deploy"]["resources"]["limits"].keys(), name
        assert each["deploy"]["endpoint_mode"] == "dnsrr", name
