# SPDX-License-Identifier: GPL-3.0-or-later
"""A temporary PostgreSQL cluster from the machine's own binaries, and databases in it."""

from __future__ import annotations

import glob
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql

# Nothing here outlives the tests, so nothing needs to reach the disk. Time zone and the styles of dates and
# intervals are deliberately not the usual ones: the engine must not depend on what a server is set to.
SETTINGS = """
max_connections = 60
fsync = off
synchronous_commit = off
full_page_writes = off
timezone = 'Asia/Kathmandu'
datestyle = 'SQL, DMY'
intervalstyle = 'iso_8601'
log_min_messages = warning
"""


class ClusterError(RuntimeError):
    """The cluster cannot be made; the message says what to do."""


def find_bindir() -> Path:
    """Return the folder of the newest PostgreSQL server programs of this machine."""
    found = [Path(p).parent for p in glob.glob("/usr/lib/postgresql/*/bin/initdb")]
    if found:
        return max(found, key=lambda p: int(re.sub(r"\D", "", p.parent.name) or 0))
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    raise ClusterError("PostgreSQL's server programs are missing: run `.ci/setup --system postgresql`")


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listened on a moment ago."""
    with closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def become_postgres() -> dict[str, Any]:
    """Return the arguments that let subprocess run as `postgres`, which root must not be for PostgreSQL."""
    if os.geteuid() != 0:
        return {}
    try:
        entry = pwd.getpwnam("postgres")
    except KeyError:
        raise ClusterError("root cannot run PostgreSQL and there is no user `postgres`") from None
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


@dataclass(frozen=True)
class Database:
    """One database of a cluster, owned by a role without any special right."""

    name: str
    owner: str
    url: str


@dataclass
class Cluster:
    """A running PostgreSQL server. Make it with `Cluster.start()`, end it with `stop()`."""

    base: Path
    bindir: Path
    port: int = 0
    superuser: str = "postgres"
    password: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    host: str = "127.0.0.1"
    #: What its programs are started with, ``nsenter …`` for a network of its own.
    prefix: tuple[str, ...] = ()
    _made: int = 0

    @classmethod
    def start(cls, host: str = "127.0.0.1", prefix: tuple[str, ...] = ()) -> Cluster:
        """Create a cluster and start it on a free port of ``host``. prefix: has to become the user postgres by itself."""
        bindir = find_bindir()
        # Not pytest's tmp_path: its parents are closed to the user postgres.
        base = Path(tempfile.mkdtemp(prefix="pg-cutover-test-"))
        cluster = cls(base=base, bindir=bindir, host=host, prefix=prefix)
        try:
            cluster._initdb()
            cluster._start()
        except BaseException:
            cluster.stop()
            raise
        return cluster

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.base / "data"

    @property
    def socket_dir(self) -> Path:
        """The folder of the Unix socket; password authentication holds there too."""
        return self.base / "run"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.base / "log"

    def superuser_url(self, database: str = "postgres") -> str:
        """URL of the superuser, for what a test must do behind the engine's back."""
        return self.url(self.superuser, self.password, database)

    def url(self, user: str, password: str, database: str) -> str:
        """URL of a role in a database of this cluster."""
        return f"postgresql://{user}:{password}@{self.host}:{self.port}/{database}"

    def create_database(self, name: str | None = None) -> Database:
        """Create an empty database, owned by a new role that may do nothing else."""
        self._made += 1
        name = name or f"test_{self._made}"
        owner, password = f"{name}_owner", secrets.token_hex(12)
        with closing(psycopg2.connect(self.superuser_url())) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD %s").format(sql.Identifier(owner)), [password])
                cursor.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(
                        sql.Identifier(name), sql.Identifier(owner)
                    )
                )
        return Database(name, owner, self.url(owner, password, name))

    def drop_database(self, database: Database) -> None:
        """Drop a database, whoever is still connected, and its owner."""
        with closing(psycopg2.connect(self.superuser_url())) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database.name)))
                cursor.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(database.owner)))

    def restart(self) -> None:
        """Restart the server on its port; who is connected is thrown out."""
        arguments = ("-D", str(self.data), "-m", "fast", "-w", f"--log={self.log}", f"--options=-p {self.port}")
        self._run("pg_ctl", "restart", *arguments)

    def stop(self) -> None:
        """Stop the server at once and remove everything of it."""
        if (self.data / "postmaster.pid").exists():
            done = self._run("pg_ctl", "stop", "-D", str(self.data), "-m", "immediate", "-w", "-t", "30", check=False)
            if done.returncode:
                self._kill()
        shutil.rmtree(self.base, ignore_errors=True)

    def _initdb(self) -> None:
        runs_as = become_postgres()
        if runs_as:
            os.chown(self.base, runs_as["user"], runs_as["group"])
        password_file = self.base / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        if runs_as:
            os.chown(password_file, runs_as["user"], runs_as["group"])
        self.socket_dir.mkdir()
        if runs_as:
            os.chown(self.socket_dir, runs_as["user"], runs_as["group"])
        self._run(
            "initdb",
            f"--pgdata={self.data}",
            f"--username={self.superuser}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        )
        password_file.unlink()
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.write(SETTINGS)
            conf.write(f"unix_socket_directories = '{self.socket_dir}'\nlisten_addresses = '{self.host}'\n")
        with (self.data / "pg_hba.conf").open("a") as hba:
            hba.write("host all all all scram-sha-256\n")

    def _start(self) -> None:
        for attempt in (1, 2, 3):
            # Another program may take the port between the look and the start.
            self.port = free_port()
            done = self._run(
                "pg_ctl",
                "start",
                f"--pgdata={self.data}",
                f"--log={self.log}",
                "--wait",
                f"--options=-p {self.port}",
                check=attempt == 3,
            )
            if done.returncode == 0:
                return

    def _run(self, program: str, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        # Output goes to a file: the server inherits it and would keep a pipe open for ever.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [*self.prefix, str(self.bindir / program), *args],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.base,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(self.base)},
                check=False,
                text=True,
                **({} if self.prefix else become_postgres()),
            )
            output.seek(0)
            said = output.read()
        if check and done.returncode:
            log = self.log.read_text() if self.log.exists() else ""
            raise ClusterError(f"{program} failed with status {done.returncode}:\n{said}\n{log}")
        return done

    def _kill(self) -> None:
        with suppress(OSError, ValueError, IndexError):
            os.kill(int((self.data / "postmaster.pid").read_text().splitlines()[0]), signal.SIGQUIT)
