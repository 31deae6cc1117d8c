"""The set of compose.postgres.yml on a real engine: replicas, their front doors and their database, used and broken."""

import json
import os
import random
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest
import requests

from testbed import ROOT, SERVICES, wait_until
from testbed.engine import BUILD_S, Composed, docker

from .test_containers import CIS, Inspected, host

pytestmark = [pytest.mark.alone, pytest.mark.engine, pytest.mark.timeout(BUILD_S)]

REPLICAS = {"users": 2, "products": 2, "orders": 3}
FRONTS = [f"{name}-front" for name in SERVICES]
ID = "a:request.of-this_test"  # that a client may send as X-Request-ID
# What differs from the benchmark's items for the services: two official images' users, and a process for each session.
ITEMS = CIS | {
    "4.1 has a user of its own": lambda it: it["Config"]["User"] in ("app", "postgres", "haproxy"),
    "5.29 has limited processes": lambda it: 0 < (host(it)["PidsLimit"] or 0) <= 256,
}


class Replicated(Composed):
    """A project with replicas."""

    def __init__(self, kind: str = "replicas") -> None:
        super().__init__(kind, COMPOSE_FILE="docker-compose.yml:compose.postgres.yml")

    def up(self, **replicas: int) -> None:
        """Start what does not run, with so many replicas."""
        scales = [word for name, number in (REPLICAS | replicas).items() for word in ("--scale", f"{name}={number}")]
        self.compose("up", "-d", "--no-recreate", *scales, *SERVICES, *FRONTS)
        for service in SERVICES:
            wait_until(lambda it=service: self.ready(it), timeout=120, what=f"{service} ready")  # type: ignore[misc]

    def replicas(self, service: str) -> list[str]:
        """Return the containers of a service that run."""
        return self.compose("ps", "-q", "--status", "running", service).stdout.split()

    def await_spread(self) -> None:
        """Wait until the front door of users sends requests to all replicas, those that it may repeat and others."""
        replicas = self.replicas("users")

        def spread(method: str) -> bool:
            path = f"/users/{random.randrange(10**12, 10**13)}"
            for _ in replicas:
                requests.request(method, f"{self.url('users')}{path}", timeout=10)
            return all(f'"{path}"' in docker("logs", "--since", "10s", replica) for replica in replicas)

        for method in ("GET", "DELETE"):
            wait_until(lambda it=method: spread(it), what=f"each replica got a {method}")  # type: ignore[misc]

    def sql(self, text: str, database: str = "postgres") -> str:
        """Ask the database as its superuser, by the socket in its container."""
        return self.compose(
            "exec", "-T", "database", "psql", "-X", "-A", "-t", "-U", "postgres", "-d", database, "-c", text
        ).stdout.strip()

    def rows(self) -> int:
        """Return how many orders there are."""
        return int(self.sql("SELECT count(*) FROM orders", "orders"))

    def await_rows(self, count: int) -> None:
        """Wait until there are as many orders."""
        wait_until(lambda: self.rows() >= count, timeout=120, what=f"{count} orders")

    def load(self, writes: int) -> "subprocess.Popen[str]":
        """Start the load generator."""
        command = ["docker", "compose", "-p", self.project, "run", "--rm", "-T", "--no-deps", "loadgen"]
        return subprocess.Popen(
            [*command, "--headless", "--writes", str(writes)],
            cwd=ROOT, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip


@pytest.fixture(scope="module")
def replicated(engine: None) -> Iterator[Replicated]:
    system = Replicated()
    try:
        system.compose("build")
        system.up()
        yield system
    finally:
        system.compose("down", "-v", "--rmi", "local", "--remove-orphans", check=False)


@pytest.fixture(scope="module")
def containers(replicated: Replicated) -> dict[str, Inspected]:
    """The engine's description of every container of the project."""
    ids = replicated.compose("ps", "-q").stdout.split()
    return {each["Name"].lstrip("/"): each for each in json.loads(docker("inspect", *ids))}


def user() -> dict[str, str]:
    return {"name": "Ada", "email": f"ada-{os.urandom(6).hex()}@example.com"}


def assert_passed(run: "subprocess.Popen[str]") -> None:
    printed, _ = run.communicate(timeout=BUILD_S)
    assert (run.returncode, "PASS" in printed) == (0, True), printed[-4000:]


def test_compose_accepts_the_files_without_warnings(replicated: Replicated) -> None:
    assert replicated.compose("config", "--quiet").stderr == ""


def test_a_load_on_replicas_passes_and_every_replica_serves_it(replicated: Replicated) -> None:
    assert_passed(replicated.load(2000))
    for service, number in REPLICAS.items():
        running = replicated.replicas(service)
        assert len(running) == number
        for container in running:
            assert f'"path":"/{service}"' in docker("logs", container).replace('": "', '":"')


def test_a_replica_killed_under_load_costs_no_write(replicated: Replicated) -> None:
    before = replicated.rows()
    run = replicated.load(6000)
    try:
        for number, service in enumerate(("orders", "users", "products", "orders"), 1):
            replicated.await_rows(before + 250 * number)
            assert run.poll() is None, "the load ended before the fault"
            victim = replicated.replicas(service)[0]
            docker("kill", victim)
            docker("start", victim)
        assert_passed(run)
    finally:
        run.kill()
        replicated.up()


def test_scaling_under_load_costs_no_write(replicated: Replicated) -> None:
    before = replicated.rows()
    run = replicated.load(4000)
    try:
        for number, replicas in enumerate((1, 4, 2), 1):
            replicated.await_rows(before + 200 * number)
            replicated.up(orders=replicas)
            assert len(replicated.replicas("orders")) == replicas
        assert_passed(run)
    finally:
        run.kill()
        replicated.up()


def test_without_a_replica_the_front_door_says_that_nothing_was_written(replicated: Replicated) -> None:
    replicated.compose("stop", "users")
    try:
        answers = [replicated.post("users", user())]
        while answers[-1].json()["type"] == "/problems/outcome-unknown":  # the front door has not seen it yet
            assert len(answers) < 1000
            answers.append(replicated.post("users", user()))
        answer = answers[-1]
        assert {each.status_code for each in answers} == {503}
        assert all(each.json()["request_id"] == each.headers["X-Request-ID"] for each in answers)
        assert len({each.headers["X-Request-ID"] for each in answers}) == len(answers)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["type"] == "/problems/overloaded"
        assert not replicated.ready("users")
        assert int(answer.headers["Retry-After"]) >= 1
        product = replicated.post("products", {"name": "Tea", "price": "19.99"}).json()
        order = replicated.post("orders", {"user_id": 1, "product_id": product["id"], "quantity": 1})
        assert order.json()["type"] == "/problems/dependency-unavailable"
    finally:
        replicated.up()


class Sent:
    """A user that is being created, on a connection of its own, as a front door must be ready to see it: in two parts.

    `again`: the connection was used before, and the front door may take one for it that was used before.
    """

    def __init__(self, replicated: Replicated, again: bool, **headers: str) -> None:
        self.connection = HTTPConnection("127.0.0.1", replicated.ports["users"], timeout=30)
        self.body = json.dumps(user()).encode()
        self.headers = {"Content-Type": "application/json", "Content-Length": str(len(self.body)), "X-Request-ID": ID}
        self.headers |= headers
        if again:
            self.connection.request("GET", "/users/1")
            self.connection.getresponse().read()

    def send(self) -> None:
        """Send the headers, and the body when they have been seen."""
        self.connection.request("POST", "/users", headers=self.headers)
        time.sleep(0.05)
        self.connection.send(self.body)

    def answer(self) -> tuple[int, str | None, Any]:
        """Wait for the answer. Return status, kind and content."""
        answer = self.connection.getresponse()
        return answer.status, answer.headers["Content-Type"], json.loads(answer.read())


def send_to_paused(replicated: Replicated, *writes: Sent) -> None:
    """Pause all replicas of users, and put writes into their hands."""
    for replica in replicated.replicas("users"):
        docker("pause", replica)
    for write in writes:
        write.send()
    time.sleep(0.3)


def test_what_a_replica_took_along_is_outcome_unknown(replicated: Replicated) -> None:
    for _ in range(20):
        replicated.post("users", user())  # the front door has connections to the replica
    replicated.up(users=1)
    (replica,) = replicated.replicas("users")
    writes = [Sent(replicated, again) for again in (False, True) * 3]
    try:
        send_to_paused(replicated, *writes)
        docker("kill", replica)
        for status, kind, content in [write.answer() for write in writes]:
            assert (status, kind) == (503, "application/problem+json")
            assert (content["type"], content["status"]) == ("/problems/outcome-unknown", 503)
            assert content["request_id"] == ID
    finally:
        docker("start", replica)
        replicated.up()


def test_a_keyed_write_is_sent_to_another_replica_when_its_own_dies(replicated: Replicated) -> None:
    first, second = replicated.replicas("users")
    replicated.await_spread()
    keyed = [Sent(replicated, again, **{"Idempotency-Key": os.urandom(8).hex()}) for again in (False, True) * 3]
    unkeyed = [Sent(replicated, again) for again in (False, True)]
    try:
        send_to_paused(replicated, *keyed, *unkeyed)  # each replica has some
        docker("unpause", second)
        docker("kill", first)
        assert [write.answer()[0] for write in keyed] == [201] * len(keyed)
        assert sorted(write.answer()[0] for write in unkeyed) == [201, 503]
    finally:
        docker("start", first)
        replicated.up()


def test_the_front_door_passes_on_nothing_that_is_no_http(replicated: Replicated) -> None:
    with socket.create_connection(("127.0.0.1", replicated.ports["users"]), 5) as connection:
        connection.sendall(b"GET /users HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n")
        answer = connection.makefile("rb").read().decode()
    assert answer.startswith("HTTP/1.1 400 ")


def test_a_front_door_shows_no_replicas_metrics_as_those_of_the_service(replicated: Replicated) -> None:
    answer = requests.get(f"{replicated.url('users')}/metrics", timeout=10)
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")


@pytest.mark.parametrize("path", ["/metrics", "/users/0"], ids=["of a front door", "of a replica"])
def test_an_error_has_the_id_that_a_client_sent_if_it_can_be_used(replicated: Replicated, path: str) -> None:
    for sent, is_used in ((ID, True), ('a"b', False), ("a" * 129, False)):
        answer = requests.get(f"{replicated.url('users')}{path}", headers={"X-Request-ID": sent}, timeout=10)
        assert answer.json()["request_id"] == answer.headers["X-Request-ID"]
        assert (answer.headers["X-Request-ID"] == sent) == is_used


def test_the_database_survives_its_crash_with_every_acknowledged_write(replicated: Replicated) -> None:
    written = [replicated.post("users", user()).json() for _ in range(20)]
    database = replicated.container("database")
    docker("kill", database)
    refused = replicated.post("users", user())
    assert refused.json()["type"] == "/problems/storage-unavailable"
    docker("start", database)
    wait_until(lambda: replicated.post("users", user()).status_code == 201, timeout=30, what="written again")
    for each in written:
        assert requests.get(f"{replicated.url('users')}/users/{each['id']}", timeout=10).json() == each


@pytest.mark.parametrize("item", ITEMS)
def test_every_container_follows_the_cis_benchmark(containers: dict[str, Inspected], item: str) -> None:
    assert len(containers) == sum(REPLICAS.values()) + len(FRONTS) + 1
    assert [name for name, inspected in containers.items() if not ITEMS[item](inspected)] == []


def test_only_front_doors_are_published_and_only_replicas_reach_the_database(
    replicated: Replicated, containers: dict[str, Inspected]
) -> None:
    for name, inspected in containers.items():
        networks = {each.removeprefix(f"{replicated.project}_") for each in inspected["NetworkSettings"]["Networks"]}
        expected = {"data"} if "database" in name else {"inside", "front"} if "front" in name else {"inside", "data"}
        assert networks == expected, name
        assert bool(host(inspected)["PortBindings"]) == ("front" in name), name
    assert json.loads(docker("network", "inspect", f"{replicated.project}_data"))[0]["Internal"]


def test_passwords_are_drawn_for_each_service_and_shown_nowhere(
    replicated: Replicated, containers: dict[str, Inspected]
) -> None:
    urls = {name: read_url(replicated, name) for name in SERVICES}
    passwords = {name: re.fullmatch(rf"postgresql://{name}:(\w{{48}})@.*", url)[1] for name, url in urls.items()}  # type: ignore[index]
    assert len(set(passwords.values())) == len(SERVICES)
    told = json.dumps(containers) + replicated.compose("logs").stdout
    assert [name for name, password in passwords.items() if password in told] == []


def read_url(replicated: Replicated, service: str) -> str:
    return replicated.compose("exec", "-T", service, "cat", "/run/database/url").stdout.strip()


def test_a_role_reaches_no_database_but_its_own_and_the_superuser_none_over_the_network(replicated: Replicated) -> None:
    url = read_url(replicated, "users")
    assert connect(replicated, url) == "connected"
    assert "no pg_hba.conf entry" in connect(replicated, url.removesuffix("/users") + "/orders")
    assert "no pg_hba.conf entry" in connect(replicated, "postgresql://postgres:x@database.data:5432/postgres")
    assert "password authentication failed" in connect(replicated, "postgresql://orders:x@database.data:5432/orders")
    rights = "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles WHERE rolname IN"
    assert replicated.sql(f"{rights} ('users', 'products', 'orders')").splitlines() == ["f|f|f|f|f"] * 3
    assert replicated.sql("SHOW data_checksums") == "on"


def connect(replicated: Replicated, url: str) -> str:
    """Connect from a replica of users, and return what came of it."""
    code = "import psycopg, sys\ntry: psycopg.connect(sys.argv[1]); print('connected')\nexcept psycopg.Error as e: print(e)"
    return replicated.compose("exec", "-T", "users", "python", "-c", code, url).stdout.strip()


def test_a_first_start_that_was_interrupted_begins_anew(engine: None) -> None:
    interrupted = Replicated("interrupted")
    database = interrupted.container("database")
    try:
        interrupted.compose("up", "-d", "--build", "database")
        begun = ("exec", database, "test", "-s", "/var/lib/postgresql/data/PG_VERSION")
        wait_until(lambda: interrupted.run("docker", *begun, check=False).returncode == 0, what="data are there")
        docker("kill", database)
        docker("start", database)
        healthy = "{{.State.Health.Status}}"
        wait_until(lambda: docker("inspect", "-f", healthy, database) == "healthy\n", timeout=60, what="healthy")
        assert (
            interrupted.sql("SELECT count(*) FROM pg_database WHERE datname IN ('users', 'products', 'orders')") == "3"
        )
        assert docker("logs", database).count("fixing permissions on existing directory") == 2
    finally:
        interrupted.compose("down", "-v", "--rmi", "local", check=False)


def test_down_and_up_keep_the_data(replicated: Replicated) -> None:
    written: dict[str, Any] = replicated.post("users", user()).json()
    replicated.compose("down")
    replicated.up()
    assert requests.get(f"{replicated.url('users')}/users/{written['id']}", timeout=10).json() == written
