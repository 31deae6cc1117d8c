"""deploy/kubernetes as `kubectl kustomize` renders it: valid, and its parts fit each other and the images."""

import copy
import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from typing import Any

import kubernetes_validate
import pytest
import requests
import yaml

from testbed import ROOT, Fleet

from .manifests import PROBES, Document, complaints, of, pods

OVERLAYS = ("sqlite", "postgres")
VERSIONS = ("1.30", "1.34", "1.37")  # of Kubernetes


@cache
def rendered(name: str) -> str:
    if shutil.which("kubectl") is None:
        reason = "no kubectl: install it to check deploy/kubernetes"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    command = ["kubectl", "kustomize", f"deploy/kubernetes/{name}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def documents(overlay: str) -> list[Document]:
    """An overlay, and the job of the load generator."""
    return [each for name in (overlay, "load") for each in yaml.safe_load_all(rendered(name))]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_schemas_of_kubernetes_accept_an_overlay(overlay: str) -> None:
    for each in documents(overlay):
        assert each["kind"] == "Namespace" or each["metadata"]["namespace"] == "threefold"
        for version in VERSIONS:
            if each["kind"] != "Cluster":  # of CloudNativePG: Kubernetes has no schema of it
                kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_parts_of_an_overlay_fit_each_other_and_the_images(overlay: str) -> None:
    assert list(complaints(documents(overlay))) == []


def test_on_sqlite_a_service_has_one_replica_and_a_volume_of_its_own() -> None:
    deployments = of(documents("sqlite"), "Deployment")
    assert [each["spec"]["replicas"] for each in deployments] == [1, 1, 1]
    assert {each["spec"]["strategy"]["type"] for each in deployments} == {"Recreate"}
    claims = [volume["persistentVolumeClaim"]["claimName"] for each in deployments
              for volume in each["spec"]["template"]["spec"]["volumes"] if "persistentVolumeClaim" in volume]  # fmt: skip
    assert claims == [each["metadata"]["name"] for each in deployments]


def test_on_postgres_a_commit_needs_a_standby_and_an_update_takes_no_replica_away() -> None:
    for each in of(documents("postgres"), "Cluster"):
        assert each["spec"]["instances"] == 3
        synchronous = each["spec"]["postgresql"]["synchronous"]
        assert (synchronous["number"], synchronous["dataDurability"]) == (1, "required")
    for each in of(documents("postgres"), "Deployment"):
        assert each["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_a_service_answers_what_its_probes_ask(fleet: Fleet) -> None:
    for pod in pods(documents("postgres")):
        for probe in PROBES if pod.name in ("users", "products", "orders") else ():
            url = f"{fleet.by_name[pod.name].url}{pod.container[probe]['httpGet']['path']}"
            assert requests.get(url, timeout=10).status_code == 200, url


def find(documents: list[Document], kind: str, name: str) -> Any:
    return next(each for each in of(documents, kind) if each["metadata"]["name"] == name)["spec"]


def container(documents: list[Document], name: str = "orders") -> Any:
    return find(documents, "Deployment", name)["template"]["spec"]["containers"][0]


def setting(documents: list[Document], name: str) -> Any:
    return next(each for each in container(documents)["env"] if each["name"] == name)


# Each mistake, and the part of a complaint that finds it.
MISTAKES: dict[str, tuple[Callable[[list[Document]], Any], str]] = {
    "a service selects nothing": (lambda d: find(d, "Service", "users")["selector"].update(app="user"), "selects []"),
    "a service leads to no port": (lambda d: find(d, "Service", "users")["ports"][0].update(targetPort="web"), "no port"),
    "pods without their label": (lambda d: find(d, "Deployment", "users")["selector"]["matchLabels"].update(app="u"), "its own pods"),
    "another port than the image's": (lambda d: container(d)["ports"][0].update(containerPort=80), "listens on 8000"),
    "a probe of an unknown port": (lambda d: container(d)["readinessProbe"]["httpGet"].update(port="web"), "readinessProbe asks"),
    "no probe": (lambda d: container(d).pop("livenessProbe"), "no livenessProbe"),
    "an unknown image": (lambda d: container(d).update(image="threefold-order"), "no target"),
    "an unknown setting": (lambda d: setting(d, "USERS_URL").update(name="USER_URL"), "USER_URL is no setting"),
    "a URL of no service": (lambda d: setting(d, "USERS_URL").update(value="http://user:8000"), "no service"),
    "a URL with a wrong port": (lambda d: setting(d, "USERS_URL").update(value="http://users:80"), "may not reach users"),
    "an unknown secret": (lambda d: setting(d, "DATABASE_URL")["valueFrom"]["secretKeyRef"].update(name="x-app"), "no secret x-app"),
    "an unknown key": (lambda d: setting(d, "DATABASE_URL")["valueFrom"]["secretKeyRef"].update(key="url"), "a key url"),
    "another service's database": (
        lambda d: setting(d, "DATABASE_URL")["valueFrom"]["secretKeyRef"].update(name="users-db-app"), "may not reach users-db"),
    "a token elsewhere": (lambda d: setting(d, "API_TOKEN_FILE").update(value="/run/token"), "where the secret is mounted"),
    "data in the container": (lambda d: setting(d, "DATABASE_URL").update(name="DATA_DIR", value="/x"), "neither"),
    "a mount without a volume": (lambda d: container(d)["volumeMounts"].append({"name": "x", "mountPath": "/x"}), "has no volume"),
    "another user": (lambda d: find(d, "Deployment", "users")["template"]["spec"]["securityContext"].update(runAsUser=0), "runs as"),
    "a writable root": (lambda d: container(d)["securityContext"].update(readOnlyRootFilesystem=False), "not restricted"),
    "a budget for nobody": (lambda d: find(d, "PodDisruptionBudget", "users")["selector"]["matchLabels"].update(app="x"), "budget"),
    "an autoscaler for nobody": (
        lambda d: find(d, "HorizontalPodAutoscaler", "users")["scaleTargetRef"].update(name="x"), "another deployment"),
    "a fixed number of replicas": (lambda d: find(d, "Deployment", "users").update(replicas=2), "undo"),
    "a policy for nobody": (lambda d: find(d, "NetworkPolicy", "orders-to-db")["podSelector"]["matchLabels"].update(app="x"), "selects nothing"),
    "a policy of one side": (lambda d: find(d, "NetworkPolicy", "asked-by-orders").update(ingress=[]), "orders may not reach users"),
    "policies that are too open": (lambda d: [each["spec"].update(podSelector={}) for each in of(d, "NetworkPolicy")], "need not"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_planted_mistake_is_found(mistake: str) -> None:
    planted = copy.deepcopy(documents("postgres"))
    change, said = MISTAKES[mistake]
    change(planted)
    assert [each for each in complaints(planted) if said in each]
