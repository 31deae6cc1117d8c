"""A real PostgreSQL server on a free port of loopback, with a directory of its own and fsync on."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from .ports import free_port
from .waiting import wait_until

DEBIAN = Path("/usr/lib/postgresql")  # each version has a folder here, and its programs are in no PATH
START_S = 30.0
CANCELS_S = 30.0
ROLE = "threefold"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "on",
    "max_connections": "200",
    "logging_collector": "off",
    "shared_buffers": "64MB",
}


def find_programs() -> Path | None:
    """Return the folder with the newest PostgreSQL's `initdb` and `postgres`; None where there is none."""
    found = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])) if DEBIAN.exists() else []
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


class PostgresServer:
    """A server that a test may stop, kill and pause. Its only role is a superuser without a password.

    As a context it is started, and in the end removed.
    """

    def __init__(self, source: "PostgresServer | None" = None, standby: str = "", **settings: str) -> None:
        """`settings` are added to postgresql.conf. With a `source`, it starts from a backup that is taken of it now.

        With a name as `standby`, it then follows the source under that name.
        """
        programs = find_programs()
        assert programs is not None, "no PostgreSQL server is installed"
        self.programs = programs
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="postgres-"))  # short: a socket's path has at most 107 bytes
        self.data = self.directory / "data"
        self.log = self.directory / "server.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._user = pwd.getpwnam("postgres") if os.getuid() == 0 else None  # initdb refuses root
        if self._user is not None:
            os.chown(self.directory, self._user.pw_uid, self._user.pw_gid)
        if source is None:
            self._run(
                "initdb", "-D", str(self.data), "-U", ROLE, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"
            )
        else:
            follow = ("-R", "-d", f"{source.url()}?application_name={standby}") if standby else ("-d", source.url())
            self._run("pg_basebackup", "-D", str(self.data), "-c", "fast", "--no-sync", *follow)
        lines = [f"{name} = '{value}'" for name, value in (SETTINGS | settings).items()]
        lines.append(f"unix_socket_directories = '{self.directory}'")
        with (self.data / "postgresql.conf").open("a") as file:
            file.write("\n".join(lines) + "\n")

    def start(self) -> "PostgresServer":
        """Start it, and return when it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.programs / "postgres"), "-D", str(self.data), "-p", str(self.port)],
                stdout=log, stderr=log, start_new_session=True, **self._as_user(),
            )  # fmt: skip
        wait_until(self._answers, START_S, "PostgreSQL answers")
        return self

    def __enter__(self) -> "PostgresServer":
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(self, *_error: object) -> None:
        self.remove()

    def url(self, database: str = "postgres", port: int = 0) -> str:
        """Return the URL of a database, perhaps through another port."""
        return f"postgresql://{ROLE}@127.0.0.1:{port or self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Make an empty database and return its URL."""
        self.run_sql(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def run_sql(self, sql: str, database: str = "postgres") -> str:
        """Run SQL with psql and return what it prints, without headings."""
        printed = self._run(
            "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", self.url(database), "-c", sql
        )
        return printed.strip()

    def stop(self, number: int = signal.SIGINT) -> None:
        """End it: by SIGINT clients are disconnected, by SIGQUIT it ends as in a crash."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGCONT)
            self.process.send_signal(number)
            self.process.wait(30)

    def kill(self) -> None:
        """End all its processes by SIGKILL."""
        assert self.process is not None
        pids = [self.process.pid, *self._backends()]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.process.wait(10)
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids[1:]), 10, "backends have ended")
        time.sleep(0.1)  # the kernel frees the shared memory after the processes

    def pause(self, number: int = signal.SIGSTOP) -> None:
        """Stop all its processes; with SIGCONT let them go on."""
        assert self.process is not None
        for pid in (self.process.pid, *self._backends()):
            os.kill(pid, number)

    def require_standby(self, name: str) -> None:
        """Let each COMMIT wait for a standby, and return when it follows. Without a name, let none wait."""
        self.run_sql(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
        self.run_sql("SELECT pg_reload_conf()")
        if name:
            asked = "SELECT sync_state FROM pg_stat_replication"
            wait_until(lambda: self.run_sql(asked) == "sync", START_S, f"{name} is the synchronous standby")

    def cancel_waits(self, database: str, count: int = 20) -> None:
        """Cancel all waits for a standby, again and again, until `count` of those in `database` were cancelled.

        The server then says "committed", with a warning: the standby has nothing.
        """
        cancel = (
            f"SELECT count(*) FILTER (WHERE cancelled AND datname = '{database}') FROM"
            " (SELECT datname, pg_cancel_backend(pid) AS cancelled FROM pg_stat_activity WHERE wait_event = 'SyncRep')"
            " AS waiting"
        )
        done = 0

        def enough() -> bool:
            nonlocal done
            done += int(self.run_sql(cancel))
            return done >= count

        wait_until(enough, CANCELS_S, f"{count} cancelled waits in {database}")

    def promote(self) -> None:
        """Let a standby lead."""
        self.run_sql("SELECT pg_promote()")

    def remove(self) -> None:
        """Stop it and delete its directory."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _backends(self) -> list[int]:
        assert self.process is not None
        pid = self.process.pid
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"PostgreSQL did not start:\n{self.log.read_text()[-2000:]}"
        command = [str(self.programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command).returncode == 0

    def _run(self, program: str, *arguments: str) -> str:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [str(self.programs / program), *arguments], capture_output=True, text=True, **self._as_user()
        )
        assert done.returncode == 0, f"{program}: {done.stderr[-2000:]}"
        return done.stdout

    def _as_user(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        user, group = self._user.pw_uid, self._user.pw_gid
        environ = {"HOME": str(self.directory), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        return {"user": user, "group": group, "extra_groups": [], "cwd": self.directory, "env": environ}
