"""How gunicorn serves a service: `gunicorn -c python:service_common.gunicorn_conf 'users_service.app:create_app()'`."""

import gc
import os
from contextlib import suppress
from typing import Any

from service_common.logs import CONFIG

host = os.environ.get("LISTEN_ADDRESS") or os.environ.get("BIND_ADDRESS") or "127.0.0.1"
bind = f"{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{os.environ.get('PORT') or 8000}"
workers = 1  # a database has one writer
worker_class = "service_common.worker.Worker"
logger_class = "service_common.worker.Log"
backlog = 4096  # connections that may wait to be accepted; who finds no room asks again after a second
keepalive = 30  # not 0: connections are kept; for how long is a setting
timeout = 60  # seconds without a sign of life until the worker is replaced
graceful_timeout = 28  # seconds until what has not stopped is killed: more than its requests (12) and writer (10) have
with suppress(ValueError, OverflowError):  # one that cannot be used is refused when the service starts
    graceful_timeout = max(18 + int(float(os.environ.get("DRAIN_TIMEOUT") or 10)), graceful_timeout)
limit_request_line = 8190
forwarder_headers = ""  # no header may say what a path means,
secure_scheme_headers: dict[str, str] = {}  # or which scheme it came by;
forwarded_allow_ips = "*"  # so there is nothing to trust a peer with, and its address need not be parsed
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108 - works on a read-only root
control_socket_disable = True

logconfig_dict = CONFIG


def pre_fork(_arbiter: Any, _worker: Any) -> None:
    """Keep the collector off what is loaded by now, so that arbiter and worker go on sharing its memory."""
    gc.freeze()


def worker_exit(_arbiter: Any, worker: Any) -> None:
    """Write what is queued and close the database, before the process ends."""
    if getattr(worker, "wsgi", None) is not None:  # else it never started
        worker.wsgi.close()
