"""A `requests` session for services that may misbehave: it yields to other work, keeps no cookies, follows nothing."""

from http.cookiejar import DefaultCookiePolicy
from typing import Any

import gevent.socket
import requests
import urllib3
from requests.adapters import HTTPAdapter

from service_common.event_loop import let_others_run

YIELD_BYTES = 8 << 10  # bytes received at once, after which other greenlets run


class YieldingSocket(gevent.socket.socket):  # type: ignore[misc]
    """A socket that yields after each large read.

    A sender that never pauses would otherwise keep all other greenlets from running, its own deadline included.
    """

    def recv_into(self, *args: Any) -> int:
        count: int = super().recv_into(*args)
        if count >= YIELD_BYTES:
            let_others_run()
        return count


class YieldingConnection(urllib3.connection.HTTPConnection):
    """urllib3's connection over a `YieldingSocket`."""

    def _new_conn(self) -> Any:
        plain = super()._new_conn()
        timeout = plain.gettimeout()
        yielding = YieldingSocket(plain.family, plain.type, plain.proto, fileno=plain.detach())
        yielding.settimeout(timeout)
        return yielding


class YieldingPool(urllib3.HTTPConnectionPool):
    """urllib3's pool of such connections."""

    ConnectionCls = YieldingConnection


class Adapter(HTTPAdapter):
    """requests' adapter over such a pool."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": YieldingPool}


class Session(requests.Session):
    """A session without cookies, proxies and redirects.

    requests would read and decompress the body of a redirect before anyone could limit it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False  # no proxy, no .netrc: these are our own services
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self.mount("http://", Adapter(pool_maxsize=4))

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return None: no answer is a redirect."""
        return None
