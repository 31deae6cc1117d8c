"""Rendered manifests as what they say of each other: pods, who selects them, who may reach them, what they read."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from testbed.services import ROOT

Document = dict[str, Any]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
USER = int(re.findall(r"useradd --uid (\d+)", DOCKERFILE)[0])
TARGETS = re.findall(r"^FROM \w+ AS (users|products|orders|loadgen)$", DOCKERFILE, re.MULTILINE)
PORT = int(re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE)[0])  # of the services
MADE_BY_HAND = {"threefold-token": {"token"}}  # README.md says how
OF_CLUSTER = {"uri", "username", "password", "dbname", "host", "port"}  # keys of the secret of a CloudNativePG cluster
CLUSTER_LABEL = "cnpg.io/cluster"
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@dataclass
class Pod:
    """What is started by a Deployment, a Job, or the operator for a Cluster."""

    name: str
    labels: dict[str, str]
    ports: dict[str | int, int]  # by name and by number
    spec: Document

    @property
    def env(self) -> dict[str, Document]:
        return {each["name"]: each for each in self.container.get("env", [])}

    @property
    def container(self) -> Document:
        return self.spec["containers"][0] if self.spec else {}


@cache
def known_settings() -> tuple[set[str], set[str]]:
    """The settings of services and of the load generator, as docs/settings.md lists them."""
    services, _, loadgen = (
        (ROOT / "docs/settings.md").read_text(encoding="utf-8").partition("\n## The load generator\n")
    )
    return tuple({*re.findall(r"`([A-Z_]+)`", text)} for text in (services, loadgen))  # type: ignore[return-value]


def of(documents: list[Document], *kinds: str) -> list[Document]:
    return [each for each in documents if each["kind"] in kinds]


def pods(documents: list[Document]) -> list[Pod]:
    found = []
    for each in of(documents, "Deployment", "Job"):
        template = each["spec"]["template"]
        declared = template["spec"]["containers"][0].get("ports", [])
        ports = {key: port["containerPort"] for port in declared for key in (port["name"], port["containerPort"])}
        found.append(Pod(each["metadata"]["name"], template["metadata"]["labels"], ports, template["spec"]))
    for each in of(documents, "Cluster"):
        name = each["metadata"]["name"]
        found.append(Pod(name, {CLUSTER_LABEL: name}, {5432: 5432, 8000: 8000}, {}))
    return found


def matches(selector: Document, labels: dict[str, str]) -> bool:
    exact = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    return exact and all(
        each["operator"] == "In" and labels.get(each["key"]) in each["values"]
        for each in selector.get("matchExpressions", [])
    )


def permits(policies: list[Document], side: str, pod: Pod, peer: Pod, target: Pod, port: int) -> bool:
    """Whether one of the policies of `pod` lets traffic with `peer` through, to a port of `target`."""
    key, peers = ("egress", "to") if side == "Egress" else ("ingress", "from")
    for policy in policies:
        spec = policy["spec"]
        if side in spec["policyTypes"] and matches(spec["podSelector"], pod.labels):
            for rule in spec.get(key, []):
                own = [each["podSelector"] for each in rule.get(peers, []) if "namespaceSelector" not in each]
                open_ports = {target.ports.get(each["port"]) for each in rule["ports"]}
                if port in open_ports and any(matches(each, peer.labels) for each in own):
                    return True
    return False


def reachable(documents: list[Document]) -> set[tuple[str, str, int]]:
    """Every pair of different pods of the namespace, and the port, that the policies let talk."""
    every, policies = pods(documents), of(documents, "NetworkPolicy")
    return {
        (source.name, target.name, port)
        for source in every
        for target in every
        for port in set(target.ports.values())
        if source is not target
        and permits(policies, "Egress", source, target, target, port)
        and permits(policies, "Ingress", target, source, target, port)
    }


def needed(documents: list[Document]) -> set[tuple[str, str, int]]:
    """Every pair of pods, and the port, that must talk: according to the settings of the first."""
    services = {each["metadata"]["name"]: each["spec"] for each in of(documents, "Service")}
    flows = set()
    for pod in pods(documents):
        for name, each in pod.env.items():
            if name == "DATABASE_URL":
                flows.add((pod.name, each["valueFrom"]["secretKeyRef"]["name"].removesuffix("-app"), 5432))
            elif name.endswith("_URL") and (url := re.fullmatch(r"http://([a-z-]+):(\d+)", each["value"])):
                spec = services.get(url[1], {"selector": {}, "ports": []})
                for target in pods(documents):
                    ports = {port["port"]: target.ports.get(port["targetPort"]) for port in spec["ports"]}
                    if spec["selector"] and matches({"matchLabels": spec["selector"]}, target.labels):
                        flows.add((pod.name, target.name, ports.get(int(url[2])) or 0))
    return flows


def complaints(documents: list[Document]) -> Iterator[str]:
    """Everything in which the manifests do not fit each other, or the images."""
    every = pods(documents)
    for each in of(documents, "Service"):
        name, spec = each["metadata"]["name"], each["spec"]
        chosen = [pod for pod in every if matches({"matchLabels": spec["selector"]}, pod.labels)]
        if [pod.name for pod in chosen] != [name]:
            yield f"service {name} selects {[pod.name for pod in chosen]}"
        yield from (
            f"service {name} has no port {port['targetPort']} to lead to"
            for port in spec["ports"] for pod in chosen if port["targetPort"] not in pod.ports
        )  # fmt: skip
    for each in of(documents, "Deployment"):
        if not matches(each["spec"]["selector"], each["spec"]["template"]["metadata"]["labels"]):
            yield f"deployment {each['metadata']['name']} does not select its own pods"
        for spread in each["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
            if not matches(spread["labelSelector"], each["spec"]["template"]["metadata"]["labels"]):
                yield f"deployment {each['metadata']['name']} spreads other pods than its own"
    for each in of(documents, "PodDisruptionBudget"):
        if [pod.name for pod in every if matches(each["spec"]["selector"], pod.labels)] != [each["metadata"]["name"]]:
            yield f"budget {each['metadata']['name']} selects other pods"
    for each in of(documents, "HorizontalPodAutoscaler"):
        deployment = [it for it in of(documents, "Deployment") if it["metadata"]["name"] == each["metadata"]["name"]]
        if each["spec"]["scaleTargetRef"]["name"] != each["metadata"]["name"] or not deployment:
            yield f"autoscaler {each['metadata']['name']} scales another deployment"
        elif "replicas" in deployment[0]["spec"]:
            yield f"deployment {each['metadata']['name']} would undo what its autoscaler has decided"
    for each in of(documents, "NetworkPolicy"):
        if each["spec"]["podSelector"] and not [p for p in every if matches(each["spec"]["podSelector"], p.labels)]:
            yield f"policy {each['metadata']['name']} selects nothing"
    for pod in every:
        yield from (f"{pod.name}: {said}" for said in _of_pod(pod, documents))
    for flow in needed(documents) - reachable(documents):
        yield f"{flow[0]} may not reach {flow[1]}:{flow[2]}"
    for flow in reachable(documents) - needed(documents):
        yield f"{flow[0]} may reach {flow[1]}:{flow[2]}, and need not"


def _of_pod(pod: Pod, documents: list[Document]) -> Iterator[str]:
    if not pod.spec:
        return
    it, spec = pod.container, pod.spec
    target = it["image"].partition(":")[0].removeprefix("threefold-")
    if target not in TARGETS:
        yield f"image {it['image']} is no target of the Dockerfile"
    if target != "loadgen":
        if it["ports"][0]["containerPort"] != PORT:
            yield f"the image listens on {PORT}"
        yield from (f"no {name}" for name in PROBES if name not in it)
        yield from (f"{name} asks a port without that name" for name in PROBES
                    if name in it and it[name]["httpGet"]["port"] not in pod.ports)  # fmt: skip
    settings = known_settings()[target == "loadgen"]
    for name, each in pod.env.items():
        if name not in settings:
            yield f"{name} is no setting"
        if name.endswith("_URL") and "value" in each and not re.fullmatch(r"http://[a-z]+:\d+", each["value"]):
            yield f"{name} is no URL of a service"
    hosts = {each["metadata"]["name"] for each in of(documents, "Service")}
    for name, each in pod.env.items():
        if (host := re.match(r"http://([\w-]+):", each.get("value", ""))) and host[1] not in hosts:
            yield f"{name} leads to {host[1]}, which is no service"
    secrets = MADE_BY_HAND | {f"{cluster['metadata']['name']}-app": OF_CLUSTER for cluster in of(documents, "Cluster")}
    read = [(ref["name"], ref["key"]) for each in pod.env.values()
            if (ref := each.get("valueFrom", {}).get("secretKeyRef"))]  # fmt: skip
    mounts = {each["name"]: each["mountPath"] for each in it["volumeMounts"]}
    for volume in spec["volumes"]:
        if volume["name"] not in mounts:
            yield f"volume {volume['name']} is not mounted"
        if "secret" in volume:
            file = Path(pod.env["API_TOKEN_FILE"]["value"])
            read.append((volume["secret"]["secretName"], file.name))
            if str(file.parent) != mounts.get(volume["name"]):
                yield f"{file} is not where the secret is mounted"
        claims = {each["metadata"]["name"] for each in of(documents, "PersistentVolumeClaim")}
        if "persistentVolumeClaim" in volume and volume["persistentVolumeClaim"]["claimName"] not in claims:
            yield f"volume {volume['name']} has no claim"
    for name in mounts.keys() - {each["name"] for each in spec["volumes"]}:
        yield f"mount {name} has no volume"
    yield from (f"no secret {name} has a key {key}" for name, key in read if key not in secrets.get(name, set()))
    if target != "loadgen" and ("DATABASE_URL" in pod.env) == (
        pod.env.get("DATA_DIR", {}).get("value") in mounts.values()
    ):
        yield "its data is neither on a volume nor in a database, or in both"
    own = spec["securityContext"]
    if (own["runAsUser"], own["fsGroup"], own["runAsNonRoot"]) != (USER, USER, True):
        yield f"the image runs as {USER}"
    if it["securityContext"] != RESTRICTED or own["seccompProfile"] != {"type": "RuntimeDefault"}:
        yield "it is not restricted"
    if spec.get("automountServiceAccountToken", True):
        yield "it gets a token of the cluster"
