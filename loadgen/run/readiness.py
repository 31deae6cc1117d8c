"""Waiting for the services, and giving up before a run."""

import sys
import time
from typing import NoReturn

import gevent

from ..audit.judge import NO_VERDICT
from ..settings import SERVICES, Settings
from ..traffic.sender import Http

PAUSE_S = 0.25


class NotReady(Exception):
    """A service is not ready; the message says which, and what to do."""


def cannot_start(reason: str) -> NoReturn:
    """Print the reason and exit without a verdict."""
    print(f"loadgen: {reason}", file=sys.stderr, flush=True)
    sys.exit(NO_VERDICT)


def wait_until_ready(settings: Settings) -> None:
    """Wait until the /readyz of every service answers 200.

    Raises:
        NotReady: one still does not after `settings.ready_timeout` seconds.
    """
    deadline = time.monotonic() + settings.ready_timeout
    for service in SERVICES:
        url = settings.urls[service]
        http = Http(url, settings.token)
        while (trouble := _trouble(http)) is not None:
            if time.monotonic() + PAUSE_S > deadline:
                raise NotReady(
                    f"The {service} service at {url} is not ready after {settings.ready_timeout:g} s ({trouble}): "
                    f"start it, or correct {service.upper()}_URL."
                )
            gevent.sleep(PAUSE_S)
        http.close()


def _trouble(http: Http) -> str | None:
    """Return why a service is not ready; None: it is."""
    try:
        status, _, _ = http.request("GET", "/readyz")
    except Exception as error:  # no answer, of any sort
        return str(error) or type(error).__name__
    return None if status == 200 else f"/readyz answers {status}"
