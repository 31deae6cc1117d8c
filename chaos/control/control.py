"""Breaks services on demand: kills, pauses or cuts off one container, and heals it a few seconds later.

It holds the engine's socket, which is as good as being root on this machine. So it exists only where compose.chaos.yml
is named, publishes no port, and shares its only network with the load generator alone. It breaks containers of the
three services of its own project and no others, for whoever shows the token that it writes to a volume at its start.
"""

import hmac
import json
import random
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

ENGINE = "/var/run/docker.sock"
TOKEN_FILE = Path("/token/token")
PORT = 7000
SERVICES = ("users", "products", "orders")
NETWORK = "inside"
SECONDS = {"kill": 2, "pause": 5, "cut": 5}  # until a fault is healed
LABEL = "com.docker.compose."


class Engine(HTTPConnection):
    """A connection to the engine."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(ENGINE)


class Refused(Exception):
    """The engine did not do what was asked; the message says why."""


def ask(method: str, path: str, body: Any = None) -> Any:
    """Send one request to the engine. Raises Refused, OSError."""
    engine = Engine("localhost")
    try:
        text = None if body is None else json.dumps(body)
        engine.request(method, path, text, {"Content-Type": "application/json"})
        answer = engine.getresponse()
        content = answer.read()
    finally:
        engine.close()
    if answer.status >= 400:
        raise Refused(f"{method} {path}: {content.decode(errors='replace').strip()}")
    return json.loads(content) if content else None


def containers(service: str, project: str) -> list[dict[str, Any]]:
    """Return the containers of a service of this project, stopped ones too."""
    labels = [f"{LABEL}project={project}", f"{LABEL}service={service}", f"{LABEL}oneoff=False"]
    found: list[dict[str, Any]] = ask("GET", f"/containers/json?all=1&filters={quote(json.dumps({'label': labels}))}")
    return found


def own_project() -> str:
    """Return the name of the project that this container belongs to."""
    labels: dict[str, str] = ask("GET", f"/containers/{socket.gethostname()}/json")["Config"]["Labels"]
    return labels[f"{LABEL}project"]


@contextmanager
def broken(fault: str, id: str) -> Iterator[None]:
    """Break a container, and heal it afterwards."""
    body: Any = None
    if fault == "cut":
        networks = ask("GET", f"/containers/{id}/json")["NetworkSettings"]["Networks"]
        (name,) = (name for name in networks if name.endswith(f"_{NETWORK}"))
        ask("POST", f"/networks/{name}/disconnect", {"Container": id, "Force": True})
        aliases = [alias for alias in networks[name]["Aliases"] or () if alias != id[:12]]
        heal, body = f"/networks/{name}/connect", {"Container": id, "EndpointConfig": {"Aliases": aliases}}
    else:
        ask("POST", f"/containers/{id}/{fault}")
        heal = f"/containers/{id}/{'start' if fault == 'kill' else 'unpause'}"
    try:
        yield
    finally:
        ask("POST", heal, body)


broken_now: set[str] = set()  # services
lock = threading.Lock()  # of it


class Control(BaseHTTPRequestHandler):
    """`POST /<service>/<fault>` with the token breaks a random replica; the answer comes once it is broken."""

    token = ""
    project = ""

    def do_POST(self) -> None:
        service, _, fault = self.path.strip("/").partition("/")
        if not hmac.compare_digest(self.headers.get("Authorization", ""), f"Bearer {self.token}"):
            return self.answer(401, error="The token is wrong.")
        if service not in SERVICES or fault not in SECONDS:
            return self.answer(404, error="There is no such service or fault.")
        with lock:
            if service in broken_now:
                return self.answer(409, error=f"{service} is broken already.")
            broken_now.add(service)
        done, failed = threading.Event(), list[str]()
        threading.Thread(target=self.strike, args=(service, fault, done, failed)).start()
        done.wait()
        if failed:
            return self.answer(502, error=failed[0])
        return self.answer(200, seconds=SECONDS[fault])

    def strike(self, service: str, fault: str, done: threading.Event, failed: list[str]) -> None:
        """Break a container of a service for a while."""
        try:
            running = [one["Id"] for one in containers(service, self.project) if one["State"] == "running"]
            if not running:
                raise Refused(f"no container of {service} runs")
            with broken(fault, random.choice(running)):
                print(f"{fault}: {service}")
                done.set()
                time.sleep(SECONDS[fault])
        except (Refused, OSError, ValueError) as error:
            print(f"{fault}: {service}: {error}")
            failed.append(str(error))
        finally:
            broken_now.discard(service)
            done.set()

    def answer(self, status: int, **body: Any) -> None:
        """Send an answer."""
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Log nothing: `strike` does."""


def heal_all(project: str) -> None:
    """Resume what an earlier process left paused."""
    for service in SERVICES:
        for one in containers(service, project):
            if one["State"] == "paused":
                ask("POST", f"/containers/{one['Id']}/unpause")


def main() -> None:
    """Serve until killed."""
    Control.project = own_project()
    Control.token = secrets.token_hex(32)
    heal_all(Control.project)
    TOKEN_FILE.write_text(Control.token)
    ThreadingHTTPServer(("", PORT), Control).serve_forever()


if __name__ == "__main__":
    main()
