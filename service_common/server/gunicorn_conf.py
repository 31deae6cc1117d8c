"""gunicorn's configuration: `gunicorn -c python:service_common.server.gunicorn_conf users_service.app:create_app()`."""

import gc
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from service_common.telemetry.logs import CONFIG

host = os.environ.get("LISTEN_ADDRESS") or os.environ.get("BIND_ADDRESS") or "127.0.0.1"
bind = f"{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{os.environ.get('PORT') or 8000}"
workers = int(os.environ.get("WEB_CONCURRENCY") or 1)  # more than most_workers() are refused below
worker_class = "service_common.server.worker.Worker"
logger_class = "service_common.server.gunicorn_patches.ServerLog"
http_parser = "python"  # the one that parser_limits.py is written against
backlog = 4096  # connections that may wait to be accepted; beyond it a client tries again after a second
keepalive = 30  # not 0: connections are kept; for how long is a setting of the service
timeout = 60  # seconds without a sign of life until the worker is replaced
graceful_timeout = 28  # seconds until a worker that does not stop is killed: more than requests (12) and writer (10)
with suppress(ValueError, OverflowError):  # one that cannot be used is refused when the service starts
    graceful_timeout = max(18 + int(float(os.environ.get("DRAIN_TIMEOUT") or 10)), graceful_timeout)
    graceful_timeout += int(float(os.environ.get("STOP_DELAY") or 0))
limit_request_line = 8190
forwarder_headers = ""  # no header may say what a path means,
secure_scheme_headers: dict[str, str] = {}  # or which scheme it came by;
forwarded_allow_ips = "*"  # so no peer needs to be trusted, and its address need not be parsed
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108 - works on a read-only root
control_socket_disable = True

logconfig_dict = CONFIG

MOST_WORKERS = 16  # of one container; each holds 1 connection to the database that writes, and 4 that read
shared_metrics: Path | None = None  # where the workers leave their metrics for each other
CANNOT_START = 3  # exit status, the same as of a setting that cannot be used


def most_workers() -> int:
    """Return how many worker processes the storage can serve.

    A SQLite database has one writer, in one process. Processes share a PostgreSQL server as replicas do.
    """
    return MOST_WORKERS if os.environ.get("DATABASE_URL") or os.environ.get("DATABASE_URL_FILE") else 1


def refused_setting(cfg: Any, arguments: Sequence[str], environ: Mapping[str, str]) -> str:
    """Return why the service cannot run with these settings of gunicorn; empty where it can."""
    in_environment = shlex.split(environ.get("GUNICORN_CMD_ARGS", ""))

    def source(*options: str) -> str:
        if any(argument.startswith(options) for argument in arguments):
            return options[-1]
        if any(argument.startswith(options) for argument in in_environment):
            return f"GUNICORN_CMD_ARGS ({options[-1]})"
        return "WEB_CONCURRENCY"

    if not 1 <= cfg.workers <= most_workers():
        most = most_workers()
        why = f"from 1 to {most}" if most > 1 else "exactly 1: a SQLite database has one writer"
        return f"{source('-w', '--workers')} asks for {cfg.workers} workers, and this storage serves {why}."
    if cfg.preload_app:
        return f"{source('--preload')} cannot be served: the database must be opened by the worker. Leave it unset."
    if cfg.worker_class_str != worker_class:
        named = source("-k", "--worker-class")
        return f"{named} cannot be served: the limits on clients are those of {worker_class}. Leave it unset."
    return ""


def nworkers_changed(arbiter: Any, new: int, old: int | None) -> None:
    """At the start, refuse settings that cannot be served; later, ignore the signal TTIN where it asks for too much.

    gunicorn calls this first of all its hooks: before it listens, and before it would build the application.
    """
    if old is None:
        if reason := refused_setting(arbiter.cfg, sys.argv[1:], os.environ):
            arbiter.log.critical(reason)
            sys.exit(CANNOT_START)
    elif new > most_workers():
        arbiter.log.warning("SIGTTIN is ignored: the storage serves %d worker", most_workers())
        arbiter.num_workers = old


def on_starting(arbiter: Any) -> None:
    """Make a place for the metrics of several workers. What a killed service leaves there is a few kilobytes."""
    global shared_metrics
    if arbiter.cfg.workers > 1:
        shared_metrics = Path(tempfile.mkdtemp(prefix="metrics-", dir=worker_tmp_dir))


def on_exit(_arbiter: Any) -> None:
    """Remove it."""
    if shared_metrics is not None:
        shutil.rmtree(shared_metrics, ignore_errors=True)


def post_worker_init(worker: Any) -> None:
    """Let a worker add its metrics to those of the others."""
    if shared_metrics is not None:
        worker.wsgi.metrics.share(shared_metrics)


def pre_fork(_arbiter: Any, _worker: Any) -> None:
    """Keep the garbage collector off what is loaded so far, so that arbiter and worker go on sharing its memory."""
    gc.freeze()


def worker_exit(_arbiter: Any, worker: Any) -> None:
    """Write what is queued and close the database before the process ends."""
    if getattr(worker, "wsgi", None) is not None:  # else it never started
        worker.wsgi.close()
