"""The load generator's own settings, read from the environment in one place; the others are Locust's options."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

PORTS = {"users": 8001, "products": 8002, "orders": 8003}
SERVICES = tuple(PORTS)
EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - and one of them, to connect to


class BadSetting(ValueError):
    """A setting cannot be used; the message names it and says what to do."""


@dataclass(frozen=True)
class Settings:
    """The addresses of the services, the directory of reports, and the token."""

    urls: Mapping[str, str]  # base URL of each of SERVICES, without a slash at the end
    each: Mapping[str, str] = field(default_factory=dict)  # base URLs; the name has the addresses of all replicas
    chaos_url: str = ""  # of what breaks services on demand; empty: nothing does
    chaos_token_file: str = ""
    report_dir: Path = Path("reports")  # for ledgers, read-backs and reports; a run of 10,000 writes leaves 8 MB
    tokens: tuple[str, ...] = field(default=(), repr=False)  # the page takes each; the services are sent the first
    ready_timeout: float = 30.0  # seconds the services may take to be ready before a run gives up
    report_hint: str = ""  # the directory of reports as the user knows it: a container's is mounted elsewhere
    report_copy: str = ""  # the command that copies the reports there, if one is needed
    traces: float = 0.0  # share of the requests with which a trace begins

    @property
    def token(self) -> str:
        """The token sent to the services as `Authorization: Bearer`; empty: none."""
        return self.tokens[0] if self.tokens else ""

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings, each from the variable of its name: USERS_URL, REPORT_DIR, REPORT_HINT, API_TOKEN_FILE ...

        An empty variable counts as not set.

        Raises:
            BadSetting: a value cannot be used.
        """
        return cls(
            urls={
                name: _url(f"{name.upper()}_URL", environ.get(f"{name.upper()}_URL") or _default_url(name, environ))
                for name in SERVICES
            },
            each={
                name: _url(variable, environ[variable])
                for name in SERVICES
                if environ.get(variable := f"{name.upper()}_EACH_URL")
            },
            chaos_url=_url("CHAOS_URL", environ["CHAOS_URL"]) if environ.get("CHAOS_URL") else "",
            chaos_token_file=environ.get("CHAOS_TOKEN_FILE", ""),
            report_dir=_directory(environ.get("REPORT_DIR") or "reports"),
            tokens=_tokens(environ),
            ready_timeout=_seconds("READY_TIMEOUT", environ.get("READY_TIMEOUT") or "30"),
            report_hint=environ.get("REPORT_HINT", ""),
            report_copy=environ.get("REPORT_COPY", ""),
            traces=_share("LOADGEN_TRACES", environ.get("LOADGEN_TRACES") or _default_share(environ)),
        )


def _default_url(service: str, environ: Mapping[str, str]) -> str:
    """Return where a service listens that is started here: at BIND_ADDRESS and the port of its name."""
    host = (environ.get("BIND_ADDRESS") or "127.0.0.1").strip("[]")
    host = EVERY_ADDRESS.get(host, host)
    port = environ.get(f"{service.upper()}_PORT") or PORTS[service]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _url(name: str, text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.username or re.search(r"[\s?#]", text):
        raise BadSetting(f"{name} is {text!r}: set it to a base URL such as http://127.0.0.1:8001.")
    return text.rstrip("/")


def _directory(text: str) -> Path:
    path = Path(text)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadSetting(f"REPORT_DIR {text!r} cannot be made ({error.strerror}): name another directory.") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise BadSetting(f"REPORT_DIR {text!r} cannot be written: name another directory, or change its owner.")
    return path


def _tokens(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the valid tokens; none when none is configured."""
    text = environ.get("API_TOKEN", "")
    if file := environ.get("API_TOKEN_FILE"):
        try:
            text = Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise BadSetting(f"API_TOKEN_FILE {file!r} cannot be read ({error}): correct the path.") from None
        if not text.split():
            raise BadSetting(f"API_TOKEN_FILE {file!r} holds no token: write one to it.")
    tokens = tuple(text.split())
    if not all("!" <= character <= "~" for character in "".join(tokens)):
        raise BadSetting("API_TOKEN holds characters that no header can carry: use visible ASCII.")
    return tokens


def _default_share(environ: Mapping[str, str]) -> str:
    """Return one in a hundred where the services trace, by the settings that are theirs."""
    on = environ.get("TRACES", "").lower() in ("1", "true", "t", "yes", "y", "on")
    return "0.01" if on or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") else "0"


def _share(name: str, text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise BadSetting(f"{name} is {text!r}: set it to a share of the requests, 0 to 1.")
    return share


def _seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 3600:
        raise BadSetting(f"{name} is {text!r}: set it to seconds, more than 0 and at most 3600.")
    return seconds
