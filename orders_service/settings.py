"""The settings that only orders has: where it looks up users and products, and how it reserves stock."""

import os
import re
from collections.abc import Mapping
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from service_common.settings import Seconds, Settings

EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - and one of them, to connect to


def base_url(text: str) -> str:
    """Refuse a text that is not the address of a service."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme == "http" and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.username or re.search(r"[\s?#]", text):
        raise ValueError("must be a base URL of http, such as http://127.0.0.1:8001")
    return text.rstrip("/")


BaseUrl = Annotated[str, AfterValidator(base_url)]


class OrdersSettings(Settings):
    """The settings of orders."""

    users_url: BaseUrl = Field("http://127.0.0.1:8001", description="base URL of users")
    products_url: BaseUrl = Field("http://127.0.0.1:8002", description="base URL of products")
    lookup_timeout: Seconds = Field(2, description="seconds one look-up may take, its retries included")
    lookup_attempt_timeout: Seconds = Field(
        1, description="seconds one attempt may wait for its connection, and for each piece of the answer"
    )
    breaker_failures: int = Field(3, ge=1, description="failed attempts in a row that open the circuit")
    breaker_cooldown: Seconds = Field(1, description="seconds an open circuit waits before it tries again")
    held_patience: Seconds = Field(1, description="seconds an order waits for units that other orders hold")
    sweep_every: Seconds = Field(2, description="seconds between two looks at all open reservations")
    owner_beat: Seconds = Field(1, description="seconds between two signs of life of an orders process")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the settings; users and products are expected where they listen when they are started here, too."""
        host = (environ.get("BIND_ADDRESS") or "127.0.0.1").strip("[]")
        host = EVERY_ADDRESS.get(host, host)
        base = f"http://[{host}]" if ":" in host else f"http://{host}"
        nearby = {
            f"{name}_URL": f"{base}:{environ.get(f'{name}_PORT') or port}"
            for name, port in (("USERS", 8001), ("PRODUCTS", 8002))
            if not environ.get(f"{name}_URL")
        }
        return super().from_env({**environ, **nearby})
