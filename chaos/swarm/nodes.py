"""Three engines on one machine, each in a network namespace of its own: the nodes of one Swarm. Needs root."""

import os
import subprocess
import tempfile
from pathlib import Path

from ..system import NotHappened, wait_until

COUNT = 3
NETWORK = "10.222.0"
IMAGES = ("etcd", "patroni", "front", "users", "products", "orders", "loadgen")
STARTED_S = 60.0


def _run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if check and done.returncode:
        raise NotHappened(f"{' '.join(command)}: {done.stderr[-500:]}")
    return done.stdout


class Nodes:
    """The engines, their namespaces and the bridge between them."""

    address = f"{NETWORK}.11"  # of the first node: the load uses its front doors

    def __init__(self) -> None:
        self.name = f"tf{os.getpid()}"
        self.directory = Path(tempfile.mkdtemp(prefix="nodes-"))
        self.sockets = [f"unix://{self.directory}/n{number}.sock" for number in range(1, COUNT + 1)]
        self._engines: list[subprocess.Popen[bytes]] = []

    def namespace(self, number: int) -> str:
        """Return the name of a node's network namespace."""
        return f"{self.name}-{number}"

    def up(self) -> None:
        """Start the engines, give them the images of this machine's engine, and join them to one Swarm."""
        bridge = f"{self.name}br"
        _run("ip", "link", "add", bridge, "type", "bridge")
        _run("ip", "link", "set", bridge, "up")
        _run("ip", "addr", "add", f"{NETWORK}.1/24", "dev", bridge)
        _run(
            "iptables", "-I", "FORWARD", "-i", bridge, "-o", bridge, "-j", "ACCEPT"
        )  # this machine's engine drops the rest
        resolver = self.directory / "resolv.conf"
        resolver.write_text("nameserver 127.0.0.1\n")  # nobody is asked for images: each attempt would wait
        (self.directory / "empty.json").write_text("{}")
        for number in range(1, COUNT + 1):
            self._start(number, bridge, resolver)
        for socket in self.sockets:
            wait_until(lambda it=socket: _answers(it), STARTED_S, f"an engine at {socket}")  # type: ignore[misc]
        archive = str(self.directory / "images.tar")
        _run("bash", "-c", f"cd deploy/swarm && STACK=x docker compose -f stack.yml build -q 2>/dev/null; "
             f"docker save -o {archive} haproxy:3.0 {' '.join(f'threefold-{name}:1' for name in IMAGES)}")  # fmt: skip
        loading = [
            subprocess.Popen(["docker", "-H", it, "load", "-q", "-i", archive], stdout=subprocess.DEVNULL)
            for it in self.sockets
        ]
        if any(each.wait() for each in loading):
            raise NotHappened("an engine could not load the images")
        Path(archive).unlink()
        first, *others = self.sockets
        _run("docker", "-H", first, "swarm", "init", "--advertise-addr", self.address)
        token = _run("docker", "-H", first, "swarm", "join-token", "-q", "manager").strip()
        for socket in others:
            _run("docker", "-H", socket, "swarm", "join", "--token", token, f"{self.address}:2377")
        for number, socket in enumerate(self.sockets, 1):
            node = _run("docker", "-H", socket, "info", "-f", "{{.Swarm.NodeID}}").strip()
            _run("docker", "-H", first, "node", "update", "--label-add", f"threefold-{number}=yes", node)

    def _start(self, number: int, bridge: str, resolver: Path) -> None:
        namespace, link = self.namespace(number), f"{self.name}v{number}"
        _run("ip", "netns", "add", namespace)
        _run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _run("ip", "link", "set", link, "master", bridge, "up")
        _run("ip", "-n", namespace, "addr", "add", f"{NETWORK}.1{number}/24", "dev", "eth0")
        _run("ip", "-n", namespace, "link", "set", "eth0", "up")
        _run("ip", "-n", namespace, "link", "set", "lo", "up")
        _run("ip", "-n", namespace, "route", "add", "default", "via", f"{NETWORK}.1")
        # nsenter, not `ip netns exec`, which would hide /sys/fs/cgroup.
        root = self.directory / f"n{number}"
        inner = (
            f"echo 1 >/proc/sys/net/ipv4/ip_forward; mount --bind {resolver} /etc/resolv.conf; "
            f"exec dockerd --config-file {self.directory}/empty.json --data-root {root} --exec-root {root}-exec "
            f"--pidfile {root}.pid -H unix://{root}.sock --cgroup-parent /{namespace} --storage-driver {_driver()} "
            f"--log-level warn --bip 172.30.{number}.1/24 --default-address-pool base=172.31.{number}.0/24,size=26"
        )
        with (self.directory / f"n{number}.log").open("wb") as log:
            entered = [
                "nsenter",
                f"--net=/var/run/netns/{namespace}",
                "--",
                "unshare",
                "--mount",
                "--propagation",
                "private",
            ]
            self._engines.append(subprocess.Popen([*entered, "--", "sh", "-c", inner], stdout=log, stderr=log))

    def unplug(self, number: int, up: bool = False) -> None:
        """Take the cable of a node out, or put it in again."""
        _run("ip", "-n", self.namespace(number), "link", "set", "eth0", "up" if up else "down")
        if up:
            _run("ip", "-n", self.namespace(number), "route", "replace", "default", "via", f"{NETWORK}.1")

    def down(self) -> None:
        """End the engines and remove what was made."""
        for socket in self.sockets:
            _run("docker", "-H", socket, "swarm", "leave", "--force", check=False)
        for engine in self._engines:
            engine.terminate()
        for engine in self._engines:
            engine.wait(60)
        for number in range(1, COUNT + 1):
            _run("ip", "netns", "del", self.namespace(number), check=False)
        bridge = f"{self.name}br"
        _run("ip", "link", "del", bridge, check=False)
        _run("iptables", "-D", "FORWARD", "-i", bridge, "-o", bridge, "-j", "ACCEPT", check=False)
        _run("rm", "-rf", str(self.directory), check=False)


def _driver() -> str:
    return _run("docker", "info", "-f", "{{.Driver}}").strip()


def _answers(socket: str) -> bool:
    return subprocess.run(["docker", "-H", socket, "info"], capture_output=True).returncode == 0
