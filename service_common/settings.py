"""The settings that every service has, read from the environment. docs/settings.md lists them with their reasons.

A service that has more of them declares a subclass.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MOST_DELAY_ON_SQLITE_S = 5
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


def networks(given: Any) -> Any:
    """Return the networks that a text names, separated by white space; an address is a network of one.

    Raises:
        ValueError: a word is neither a network nor an address.
    """
    if not isinstance(given, str):
        return given
    found = []
    for word in given.split():
        try:
            found.append(ipaddress.ip_network(word))
        except ValueError:
            raise ValueError(
                f"{word[:60]!r} is neither a network such as 10.1.0.0/16 nor an address such as 10.1.2.3;"
                " host names are not looked up"
            ) from None
    return tuple(found)


def read_attributes(text: str) -> dict[str, str]:
    """Return the attributes of a text such as `a=1,b=2`; other characters are percent-encoded. Raises ValueError."""
    found = {}
    for pair in filter(None, map(str.strip, text.split(","))):
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
            raise ValueError("must be names with values, such as host.name=a,deployment.environment.name=test")
        found[name] = unquote(value)
    return found


def attributes(text: str) -> str:
    """Refuse a text that is no list of attributes."""
    read_attributes(text)
    return text


def receiver(text: str) -> str:
    """Refuse a text that is no base URL of HTTP."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if text and (not usable or re.search(r"[\s?#]", text)):
        raise ValueError("must be a base URL such as http://127.0.0.1:4318; spans are sent to its path /v1/traces")
    return text.rstrip("/")


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches what listens at `host`. Of names only localhost counts as loopback."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Settings(BaseModel):
    """The settings of a service. The environment variable of a field is its name in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path = Field(Path("data"), description="directory of the database file")
    database_url: str = Field(
        "", repr=False, description="URL of the PostgreSQL database; empty: a SQLite file in `DATA_DIR`"
    )
    database_url_file: Path | None = Field(None, description="file that holds `DATABASE_URL`")
    max_body_bytes: int = Field(1 << 20, ge=1, description="bytes of the largest request body that is accepted")
    max_connections: int = Field(
        1200,
        ge=1,
        le=100_000,
        description="maximum open connections; beyond it, the longest-waiting ones are closed",
    )
    max_connections_per_client: int = Field(
        0, ge=0, description="maximum open connections of one address; 0: no limit of its own"
    )
    keepalive_timeout: Seconds = Field(30, description="seconds a connection may wait for its next request")
    header_timeout: Seconds = Field(10, description="seconds the request headers may take, from their first byte")
    body_timeout: Seconds = Field(30, description="seconds the whole request body may take")
    answer_timeout: Seconds = Field(30, description="seconds a client may take to read the whole answer")
    max_held_bytes: int = Field(
        16 << 20,
        ge=1,
        validate_default=True,
        description="bytes that long bodies and unread answers may hold together",
    )
    rate_limit: str = Field("", description="requests of one address, such as `100/second`; empty: no limit")
    rate_limit_exempt: Annotated[tuple[Network, ...], BeforeValidator(networks)] = Field(
        (), description="networks and addresses that `RATE_LIMIT` does not count, separated by white space"
    )
    write_queue_limit: int = Field(1000, ge=1, description="writes that may wait; one more is `overloaded`")
    write_batch_rows: int = Field(1000, ge=1, description="rows that one transaction takes from the queue")
    write_timeout: Seconds = Field(5, description="seconds a write may take before its client is answered")
    drain_timeout: Seconds = Field(10, description="seconds that a stopping service waits for queued writes")
    stop_delay: float = Field(
        0,
        ge=0,
        le=60,
        allow_inf_nan=False,
        description="seconds that a stopping service still serves, while `/readyz` answers 503; on SQLite at most 5",
    )
    api_token: str = Field("", repr=False, description="valid bearer tokens, separated by white space")
    api_token_file: Path | None = Field(None, description="file with the valid bearer tokens")
    bind_address: str = Field(
        "127.0.0.1", description="address where the service is published; beyond loopback it needs a token"
    )
    access_log: bool = Field(True, description="log one JSON line a request")
    traces: bool = Field(False, description="trace requests and keep the last spans in memory, also without a receiver")
    otel_exporter_otlp_endpoint: Annotated[str, AfterValidator(receiver)] = Field(
        "", description="base URL of the receiver of spans (OTLP over HTTP); empty: none"
    )
    otel_traces_sampler_arg: float = Field(
        1.0, ge=0, le=1, description="share of the requests without a `traceparent` that are traced"
    )
    otel_service_name: str = Field("", description="name of the service in its spans; empty: its own")
    otel_resource_attributes: Annotated[str, AfterValidator(attributes)] = Field(
        "", description="attributes of the service in its spans, such as `deployment.environment.name=test,host.name=a`"
    )

    @field_validator("stop_delay")
    @classmethod
    def next_process_waits(cls, delay: float, info: ValidationInfo) -> float:
        """Refuse a delay on SQLite that is too long for the next process, which waits for the file."""
        on_server = info.data.get("database_url") or info.data.get("database_url_file")
        if delay > MOST_DELAY_ON_SQLITE_S and not on_server:
            raise ValueError(f"must be at most {MOST_DELAY_ON_SQLITE_S} on SQLite: a next process waits for the file")
        return delay

    @field_validator("max_held_bytes")
    @classmethod
    def one_body_fits(cls, held: int, info: ValidationInfo) -> int:
        """Refuse a limit that the largest body alone would exceed."""
        if held < info.data.get("max_body_bytes", 0):
            raise ValueError("must be at least MAX_BODY_BYTES")
        return held

    @property
    def traced(self) -> bool:
        """True where requests are traced."""
        return self.traces or bool(self.otel_exporter_otlp_endpoint)

    def resource_attributes(self) -> dict[str, str]:
        """Return the attributes that `OTEL_RESOURCE_ATTRIBUTES` names."""
        return read_attributes(self.otel_resource_attributes)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the settings from `environ`; an empty variable counts as not set.

        Raises:
            SystemExit: a value cannot be used; the message names the variable and says what is wrong.
        """
        given = {name: value for name in cls.model_fields if (value := environ.get(name.upper()))}
        if listening := environ.get("LISTEN_ADDRESS"):  # in a container, BIND_ADDRESS says where it is published
            given.setdefault("bind_address", listening)
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            wrong = "; ".join(
                f"{str(e['loc'][0]).upper()}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()
            )
            raise SystemExit(f"Unusable setting. {wrong}. Correct the environment and start again.") from None

    def database(self) -> str:
        """Return the URL of the database, empty for SQLite.

        Raises:
            SystemExit: the file with the URL cannot be read or is empty.
        """
        if self.database_url_file is None:
            return self.database_url.strip()
        try:
            url = self.database_url_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError) as error:
            raise SystemExit(f"DATABASE_URL_FILE cannot be read: {error}") from None
        if not url:
            raise SystemExit(f"DATABASE_URL_FILE {self.database_url_file} is empty: write a postgresql:// URL to it.")
        return url

    def tokens(self) -> tuple[str, ...]:
        """Return the valid bearer tokens, in the order given; none where no token is required.

        Raises:
            SystemExit: the token file is unusable, a token is, or others can reach the service without a token.
        """
        if self.api_token_file is None:
            tokens = tuple(self.api_token.split())
            if not tokens and not is_loopback(self.bind_address):
                raise SystemExit(
                    f"BIND_ADDRESS is {self.bind_address!r}, where others can reach the service, and no token is"
                    " required: set API_TOKEN or API_TOKEN_FILE, or leave BIND_ADDRESS at 127.0.0.1."
                )
        else:
            try:
                tokens = tuple(self.api_token_file.read_text(encoding="utf-8").split())
            except (OSError, UnicodeError) as error:
                raise SystemExit(f"API_TOKEN_FILE cannot be read: {error}") from None
            if not tokens:
                raise SystemExit(f"API_TOKEN_FILE {self.api_token_file} holds no token: write one to it.")
        if not all("!" <= character <= "~" for character in "".join(tokens)):
            raise SystemExit("A token holds characters that no header can carry: use visible ASCII.")
        return tokens
