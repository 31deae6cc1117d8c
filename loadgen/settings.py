"""The load generator's own settings, read from the environment in one place; the rest are Locust's options."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

SERVICES = ("users", "products", "orders")


class BadSetting(ValueError):
    """A setting cannot be used; the message names it and says what to do."""


@dataclass(frozen=True)
class Settings:
    """Where the services are, where reports go, and what to present to be let in."""

    urls: Mapping[str, str]  # base URL of each of SERVICES, without a slash at the end
    report_dir: Path = Path("reports")  # for ledgers, read-backs and reports; a run of 10,000 writes leaves 8 MB
    tokens: tuple[str, ...] = field(default=(), repr=False)  # the page takes each; the services are sent the first
    ready_timeout: float = 30.0  # seconds the services may take to be ready before a run gives up

    @property
    def token(self) -> str:
        """What the services are sent as `Authorization: Bearer`; empty: nothing."""
        return self.tokens[0] if self.tokens else ""

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read USERS_URL, PRODUCTS_URL, ORDERS_URL, REPORT_DIR, API_TOKEN, API_TOKEN_FILE and READY_TIMEOUT.

        An empty variable counts as not set.

        Raises:
            BadSetting: a value cannot be used.
        """
        return cls(
            urls={
                name: _url(f"{name.upper()}_URL", environ.get(f"{name.upper()}_URL") or f"http://127.0.0.1:{port}")
                for name, port in zip(SERVICES, (8001, 8002, 8003), strict=True)
            },
            report_dir=_directory(environ.get("REPORT_DIR") or "reports"),
            tokens=_tokens(environ),
            ready_timeout=_seconds("READY_TIMEOUT", environ.get("READY_TIMEOUT") or "30"),
        )


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
    """Those that are valid; empty when none is configured."""
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


def _seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 3600:
        raise BadSetting(f"{name} is {text!r}: set it to seconds, more than 0 and at most 3600.")
    return seconds
