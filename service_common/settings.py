"""Every tunable of a service, read from the environment in one place."""

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator


def base_url(text: str) -> str:
    """Refuse what no service can be asked at."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme == "http" and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.username or re.search(r"[\s?#]", text):
        raise ValueError("must be a base URL of http, such as http://127.0.0.1:8001")
    return text.rstrip("/")


BaseUrl = Annotated[str, AfterValidator(base_url)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens at `host`; other names than localhost count as reachable."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Settings(BaseModel):
    """A service's settings. The environment variable of a field is its name in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path = Field(Path("data"), description="directory of the database file")
    max_body_bytes: int = Field(1 << 20, ge=1, description="largest request body accepted, in bytes")
    max_connections: int = Field(
        1200,
        ge=1,
        le=100_000,
        description="connections at once; for one more, who has waited longest is closed",
    )
    max_connections_per_client: int = Field(
        0, ge=0, description="connections of one address at once; 0: as many as of all"
    )
    keepalive_timeout: Seconds = Field(30, description="seconds a connection may wait for its next request")
    header_timeout: Seconds = Field(10, description="seconds a request's head may take, from its first byte on")
    body_timeout: Seconds = Field(30, description="seconds a request's body may take, all of it")
    answer_timeout: Seconds = Field(30, description="seconds a client may take to read an answer, all of it")
    max_held_bytes: int = Field(
        16 << 20,
        ge=1,
        validate_default=True,
        description="bytes that long bodies and unread answers may hold together",
    )
    rate_limit: str = Field("", description="requests of one address, such as `100/second`; none when empty")
    rate_limit_exempt: str = Field("", description="hosts that `RATE_LIMIT` is not for, separated by white space")
    write_queue_limit: int = Field(1000, ge=1, description="writes that may wait; one more is `overloaded`")
    write_batch_rows: int = Field(1000, ge=1, description="rows that one transaction takes from the queue")
    write_timeout: Seconds = Field(5, description="seconds a write may take before its caller is answered")
    drain_timeout: Seconds = Field(10, description="seconds that stopping waits for queued writes")
    users_url: BaseUrl = Field("http://127.0.0.1:8001", description="where orders asks for users")
    products_url: BaseUrl = Field("http://127.0.0.1:8002", description="where orders asks for products")
    lookup_timeout: Seconds = Field(2, description="seconds one look-up may take, its retries included")
    lookup_attempt_timeout: Seconds = Field(
        1, description="seconds an attempt of a look-up may wait to connect, and for each piece of its answer"
    )
    breaker_failures: int = Field(3, ge=1, description="failed attempts in a row that open the circuit")
    breaker_cooldown: Seconds = Field(1, description="seconds an open circuit waits before it probes")
    api_token: str = Field("", repr=False, description="valid bearer tokens, separated by white space")
    api_token_file: Path | None = Field(None, description="file that holds the valid bearer tokens")
    bind_address: str = Field(
        "127.0.0.1", description="address it is published at; other than loopback only with a token"
    )
    access_log: bool = Field(True, description="whether each request leaves one JSON line")

    @field_validator("max_held_bytes")
    @classmethod
    def one_body_fits(cls, held: int, info: ValidationInfo) -> int:
        """Refuse a limit by which the largest body would never be taken."""
        if held < info.data.get("max_body_bytes", 0):
            raise ValueError("must be at least MAX_BODY_BYTES")
        return held

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings from `environ`; an empty variable counts as not set.

        Raises:
            SystemExit: a value cannot be used; the message names the variable and what is wrong.
        """
        given = {name: value for name in cls.model_fields if (value := environ.get(name.upper()))}
        if listening := environ.get("LISTEN_ADDRESS"):  # inside a container; who publishes it says where
            given.setdefault("bind_address", listening)
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            wrong = "; ".join(
                f"{str(e['loc'][0]).upper()}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()
            )
            raise SystemExit(f"Unusable setting. {wrong}. Correct the environment and start again.") from None

    def tokens(self) -> tuple[str, ...]:
        """The bearer tokens that are valid, in the order given; empty when none is asked for.

        Raises:
            SystemExit: the token file cannot be read or holds no token, or others can reach the service and need none.
        """
        if self.api_token_file is None:
            tokens = tuple(self.api_token.split())
            if not tokens and not is_loopback(self.bind_address):
                raise SystemExit(
                    f"BIND_ADDRESS is {self.bind_address!r}, where others can reach the service, and no token is asked"
                    " for: set API_TOKEN or API_TOKEN_FILE, or leave BIND_ADDRESS at 127.0.0.1."
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
