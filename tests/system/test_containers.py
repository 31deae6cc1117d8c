"""The containers: the CIS Docker Benchmark 1.6.0, the content of their images, and their networks.

They run with a token from a file. The tests check every service that Compose lists.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed import ROOT, wait_until
from testbed.engine import BUILD_S, Composed, docker

TOKEN = "a-secret-from-a-file"
MB = 1_000_000
MOST_ABOVE_BASE_MB = 60
BASE = "python:3.13-slim"
OUTSIDE, THIS_SIDE = "198.51.100.2", "198.51.100.1"  # for documentation (RFC 5737): nobody has them
pytestmark = [pytest.mark.alone, pytest.mark.engine, pytest.mark.timeout(BUILD_S)]

Inspected = dict[str, Any]


def host(inspected: Inspected) -> dict[str, Any]:
    """Return the part of the machine that the container was given."""
    given: dict[str, Any] = inspected["HostConfig"]
    return given


def binds(inspected: Inspected) -> list[dict[str, Any]]:
    """Return the mounts from the machine's file system, except the read-only secret."""
    return [
        mount
        for mount in inspected["Mounts"]
        if mount["Type"] != "volume" and (mount["RW"] or not mount["Destination"].startswith("/run/secrets/"))
    ]


def bindings(inspected: Inspected) -> list[dict[str, str]]:
    """Return the addresses at which ports are published."""
    return [each for bound in (host(inspected)["PortBindings"] or {}).values() for each in bound]


# By recommendation. 5.15 asks for at most five restarts in all, but a killed service must always come back.
CIS: dict[str, Callable[[Inspected], bool]] = {
    "4.1 has a user of its own": lambda it: it["Config"]["User"] == "app",
    "4.6, 5.27 has a health check": lambda it: it["Config"].get("Healthcheck", {}).get("Test", ["NONE"])[0] == "CMD",
    "5.4 has no capabilities": lambda it: host(it)["CapDrop"] == ["ALL"] and not host(it)["CapAdd"],
    "5.5 is not privileged": lambda it: not host(it)["Privileged"],
    "5.6 has no directory of the host": lambda it: not binds(it),
    "5.8 has no privileged port": lambda it: all(int(port.split("/")[0]) >= 1024 for port in it["Config"]["ExposedPorts"]),
    "5.10 is not in the host's network": lambda it: host(it)["NetworkMode"] != "host",
    "5.11 has limited memory": lambda it: 0 < host(it)["Memory"] <= 512 << 20,
    "5.12 has limited processor time": lambda it: 0 < host(it)["NanoCpus"] <= 1_000_000_000,
    "5.13 has a root that is read-only": lambda it: host(it)["ReadonlyRootfs"],
    "5.14 is published on loopback": lambda it: all(each["HostIp"] == "127.0.0.1" for each in bindings(it)),
    "5.15 restarts with a growing pause, or not": lambda it: host(it)["RestartPolicy"]["Name"] in ("unless-stopped", "no"),
    "5.16 sees no processes of the host": lambda it: not host(it)["PidMode"],
    "5.17 shares no memory with the host": lambda it: host(it)["IpcMode"] == "private",
    "5.18 has no devices": lambda it: not host(it)["Devices"],
    "5.19 leaves no cores, opens limited files": lambda it: (
        {each["Name"]: each["Hard"] for each in host(it)["Ulimits"] or ()} == {"core": 0, "nofile": 16384}
    ),
    "5.20 shares no mounts": lambda it: not any("shared" in mount.get("Propagation", "") for mount in it["Mounts"]),
    "5.21 has a host name of its own": lambda it: not host(it)["UTSMode"],
    "5.2, 5.3, 5.22 has the engine's profiles": lambda it: (
        "unconfined" not in str(host(it)["SecurityOpt"]) and "disable" not in str(host(it)["SecurityOpt"])
    ),
    "5.25 is in the engine's control group": lambda it: not host(it)["CgroupParent"],
    "5.26 gains no privileges": lambda it: "no-new-privileges:true" in (host(it)["SecurityOpt"] or ()),
    "5.29 has limited processes": lambda it: 0 < (host(it)["PidsLimit"] or 0) <= 64,
    "5.30 is not on docker0": lambda it: not {"bridge", "default", "host"} & {*it["NetworkSettings"]["Networks"], host(it)["NetworkMode"]},
    "5.31 is not in the host's user namespace": lambda it: host(it)["UsernsMode"] != "host",
    "5.32 has no socket of the engine": lambda it: not any("docker.sock" in mount["Source"] for mount in it["Mounts"]),
    "2.13 logs to files of limited size": lambda it: host(it)["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"},
}  # fmt: skip

# Every mistake that Compose and the engine's command line allow.
NAKED = (
    "--privileged", "--cap-add", "SYS_ADMIN", "--network", "host", "--pid", "host", "--ipc", "host", "--uts", "host",
    "--userns", "host", "--security-opt", "seccomp=unconfined", "--device", "/dev/null", "--restart", "always",
    "--cgroup-parent", "/naked", "-v", "/var/run/docker.sock:/var/run/docker.sock", "-v", "/tmp:/host:rshared", "--expose", "22",
    "--log-opt", "max-size=1g",
)  # fmt: skip


@pytest.fixture(scope="module")
def guarded(built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    """The default services, running with a token from a file. A worker is created, but not started."""
    directory = tmp_path_factory.mktemp("guarded")
    file, idle = directory / "api_token", directory / "idle.yml"
    file.write_text(TOKEN)
    idle.write_text("services: {loadgen: {environment: {LOCUST_AUTOSTART: 'false'}}}")  # the page without a load
    files = f"docker-compose.yml:compose.token.yml:{idle}"
    system = Composed(COMPOSE_FILE=files, API_TOKEN_FILE=str(file))
    try:
        system.compose("up", "-d", "--wait")
        system.compose("create", "--no-recreate", "--scale", "loadgen-worker=1", "loadgen-worker")
        yield system
    finally:
        system.compose("kill", check=False)
        system.compose("down", "-v", "--remove-orphans", check=False)


@pytest.fixture(scope="module")
def services(guarded: Composed) -> dict[str, Inspected]:
    """The engine's description of the container of each service in the Compose files."""
    named = json.loads(guarded.compose("config", "--format", "json").stdout)["services"]
    assert {"users", "products", "orders", "loadgen"} <= set(named)
    return {name: guarded.inspect(name) for name in named}


@pytest.fixture(scope="module")
def running(services: dict[str, Inspected]) -> dict[str, str]:
    """The running containers, by service."""
    found = {name: inspected["Id"] for name, inspected in services.items() if inspected["State"]["Running"]}
    assert {"users", "products", "orders", "loadgen"} <= set(found)
    return found


@pytest.mark.parametrize("item", CIS)
def test_every_container_follows_the_cis_benchmark(services: dict[str, Inspected], item: str) -> None:
    assert [name for name, inspected in services.items() if not CIS[item](inspected)] == []


def test_a_container_with_all_permissions_fails_every_check(built: None) -> None:
    container = docker("create", *NAKED, BASE).strip()
    try:
        inspected = json.loads(docker("inspect", container))[0]
    finally:
        docker("rm", container)
    host(inspected)["PortBindings"] = {"22/tcp": [{"HostIp": "", "HostPort": "22"}]}  # none in the network of the host
    assert [item for item, holds in CIS.items() if holds(inspected)] == []


def test_the_kernel_reports_no_capabilities_and_active_seccomp(running: dict[str, str]) -> None:
    for container in running.values():
        status = docker("exec", container, "cat", "/proc/1/status")
        said = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert set(said["Uid"].split()) == set(said["Gid"].split()) == {"10001"}
        assert {said[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
        assert (said["NoNewPrivs"], said["Seccomp"]) == ("1", "2")


def test_only_the_published_port_listens_and_only_our_programs_run(running: dict[str, str]) -> None:
    for name, container in running.items():
        port = 8089 if name == "loadgen" else 8000
        tables = docker("exec", container, "sh", "-c", "cat /proc/net/tcp /proc/net/tcp6").splitlines()
        sockets = [line.split() for line in tables if " 0A " in line]
        dns = "0B00007F"  # 127.0.0.11, the engine's own
        assert {int(words[1].rpartition(":")[2], 16) for words in sockets if not words[1].startswith(dns)} == {port}
        # 5.7. `cat` and `sh` belong to this test, `python` may be the health check.
        programs = docker("exec", container, "sh", "-c", "cat /proc/[0-9]*/comm").split()
        assert set(programs) <= {"docker-init", "tini", "gunicorn", "python", "python3", "sh", "cat"}


def test_the_token_appears_in_no_log_report_or_inspection(guarded: Composed, services: dict[str, Inspected]) -> None:
    run = guarded.compose("run", "--rm", "-T", "loadgen", "--headless", "--writes", "300", "--users", "8", check=False)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-2000:]  # so the token was presented and accepted
    said = run.stdout + run.stderr + guarded.compose("logs").stdout
    said += docker("inspect", *(inspected["Id"] for inspected in services.values()))
    said += guarded.compose("config").stdout
    assert TOKEN not in said
    held = guarded.compose("exec", "-T", "loadgen", "grep", "-rlF", TOKEN, "/reports", "/tmp", "/app", check=False)
    assert (held.returncode, held.stdout) == (1, "")  # 1: searched, and not found
    seen = guarded.compose("exec", "-T", "loadgen", "grep", "-lF", TOKEN, "/run/secrets/api_token").stdout
    assert seen == "/run/secrets/api_token\n"


def test_every_container_gets_the_token_from_the_file(guarded: Composed, services: dict[str, Inspected]) -> None:
    for inspected in services.values():
        env = {name: value for name, _, value in (each.partition("=") for each in inspected["Config"]["Env"])}
        assert (env["API_TOKEN"], env["API_TOKEN_FILE"]) == ("", "/run/secrets/api_token")
    assert guarded.ready("orders")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the engine's machine has owners of its own")
def test_an_unreadable_token_file_is_named_in_the_error(built: None, tmp_path: Path) -> None:
    file = tmp_path / "api_token"
    file.write_text(TOKEN)
    file.chmod(0o600)
    system = Composed(COMPOSE_FILE="docker-compose.yml:compose.token.yml", API_TOKEN_FILE=str(file))
    run = system.compose("run", "--rm", "-T", "--no-deps", "users", check=False)
    assert run.returncode != 0
    assert "API_TOKEN_FILE cannot be read: [Errno 13] Permission denied: '/run/secrets/api_token'" in run.stdout


def test_an_image_holds_no_compiler_no_cache_no_tests_and_no_setuid_file(running: dict[str, str]) -> None:
    script = """
        find / -xdev -type f -perm /6000 -o -xdev -type d -name .cache
        find /opt /app -type d \\( -name test -o -name tests \\)
        find /app /opt/venv ! -user root
        find /var/cache/apt /var/lib/apt/lists /tmp -type f
        for name in cc gcc c++ g++ clang ld as make cargo go tcc; do command -v $name; done
        true
    """
    for name, container in running.items():
        assert docker("exec", "--user", "0", container, "sh", "-c", script) == "", name  # root may read everything


def test_an_image_holds_its_own_folder_only(running: dict[str, str]) -> None:
    for name, container in running.items():
        folders = {"loadgen"} if name.startswith("loadgen") else {"service_common", f"{name}_service"}
        assert set(docker("exec", container, "ls", "-A", "/app").split()) == folders


def test_an_image_holds_only_locked_packages(running: dict[str, str]) -> None:
    script = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()), sep='\\n')"
    for name, container in running.items():
        held = [line.split("==") for line in docker("exec", container, "python", "-I", "-c", script).splitlines()]
        lock = ROOT / "requirements" / ("loadgen.txt" if name.startswith("loadgen") else "postgres.txt")
        locked = set(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", lock.read_text(), re.MULTILINE))
        installed = {(re.sub("[-._]+", "-", package.lower()), version) for package, version in held}
        assert installed <= locked
        assert len(installed) > 15


def test_an_image_is_at_most_60_mb_larger_than_its_base(services: dict[str, Inspected]) -> None:
    base = int(docker("image", "inspect", "--format", "{{.Size}}", BASE))
    for name, inspected in services.items():
        size = int(docker("image", "inspect", "--format", "{{.Size}}", inspected["Image"]))
        assert 0 < size - base < MOST_ABOVE_BASE_MB * MB, name


def test_all_are_on_the_internal_network_and_only_published_services_on_the_other(
    guarded: Composed, services: dict[str, Inspected]
) -> None:
    inside, front = f"{guarded.project}_inside", f"{guarded.project}_front"
    networks = {each["Name"]: each for each in json.loads(docker("network", "inspect", inside, front))}
    assert networks[inside]["Internal"]
    assert networks[front]["Options"]["com.docker.network.bridge.enable_ip_masquerade"] == "false"
    for inspected in services.values():
        assert set(inspected["NetworkSettings"]["Networks"]) == {inside} | ({front} if bindings(inspected) else set())


def answers() -> bool:
    """Return True when this machine itself can connect to the listener outside."""
    try:
        socket.create_connection((OUTSIDE, 8000), 1).close()
    except OSError:
        return False
    return True


@pytest.fixture
def outside() -> Iterator[str]:
    """The address of a listener in a network namespace of its own, which has a route to this machine only."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        reason = "needs root and `ip` (Debian: apt install iproute2) for a network of its own"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    name = f"tf{os.getpid()}"
    far = ("ip", "-n", name)
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for command in (
            ("ip", "link", "add", f"{name}h", "type", "veth", "peer", "name", f"{name}o", "netns", name),
            ("ip", "addr", "add", f"{THIS_SIDE}/24", "dev", f"{name}h"), ("ip", "link", "set", f"{name}h", "up"),
            (*far, "addr", "add", f"{OUTSIDE}/24", "dev", f"{name}o"), (*far, "link", "set", f"{name}o", "up"),
        ):  # fmt: skip
            subprocess.run(command, check=True)
        listener = subprocess.Popen(
            ["ip", "netns", "exec", name, "python3", "-m", "http.server", "8000", "--bind", OUTSIDE]
        )
        try:
            wait_until(answers, what="the listener outside")
            yield OUTSIDE
        finally:
            listener.terminate()
            listener.wait(10)
    finally:
        subprocess.run(["ip", "link", "del", f"{name}h"])
        subprocess.run(["ip", "netns", "del", name], check=True)


def test_no_container_reaches_addresses_or_names_outside(outside: str, running: dict[str, str]) -> None:
    connect = f"import socket; socket.create_connection(('{outside}', 8000), 2)"
    resolve = "import socket; socket.getaddrinfo('outside.example', 80)"
    docker("run", "--rm", BASE, "python", "-c", connect)  # from the default bridge it is reached
    for code, words in ((connect, "timed out"), (resolve, "name resolution")):
        tried = [
            subprocess.Popen(["docker", "exec", container, "python", "-c", code], stderr=subprocess.PIPE, text=True)
            for container in running.values()
        ]
        for each in tried:
            assert words in each.communicate(timeout=30)[1]
            assert each.returncode == 1


def test_the_dockerfile_has_no_add_and_no_secret() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert not [line for line in lines if line.startswith("ADD ")]  # 4.9
    assert not [line for line in lines if line.startswith(("ENV ", "ARG ")) and "TOKEN" in line]  # 4.10
