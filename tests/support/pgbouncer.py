# SPDX-License-Identifier: GPL-3.0-or-later
"""A real PgBouncer before a test's cluster, in the pool mode that is asked for."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from support.postgres import become_postgres, free_port

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin") or "/usr/sbin/pgbouncer"


@contextmanager
def pgbouncer(url: str, mode: str, **settings: object) -> Iterator[str]:
    """The URL of the same role and database through a PgBouncer of its own."""
    parts = urlsplit(url)
    user, password, port = unquote(parts.username or ""), unquote(parts.password or ""), free_port()
    runs_as = become_postgres()
    # Not pytest's folder: its parents are closed to the user postgres.
    folder = Path(tempfile.mkdtemp(prefix="pg-cutover-test-pooler-"))
    configuration = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "scram-sha-256",
        "auth_file": folder / "users",
        "pool_mode": mode,
        "logfile": folder / "log",
        # What psycopg2 and the engine send at the start, and nothing else.
        "ignore_startup_parameters": "extra_float_digits",
        **settings,
    }
    quoted = '"' + password.replace('"', '""') + '"'
    (folder / "users").write_text(f'"{user}" {quoted}\n')
    lines = [f"{name} = {value}" for name, value in configuration.items()]
    (folder / "ini").write_text(
        f"[databases]\n* = host={parts.hostname} port={parts.port}\n[pgbouncer]\n" + "\n".join(lines) + "\n"
    )
    for path in (folder, folder / "users", folder / "ini"):
        if runs_as:
            os.chown(path, runs_as["user"], runs_as["group"])
    process = subprocess.Popen(
        [PROGRAM, str(folder / "ini")],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **runs_as,
    )
    try:
        _wait(port, folder / "log", process)
        yield url.replace(f"@{parts.hostname}:{parts.port}", f"@127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(port: int, log: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            with closing(socket.create_connection(("127.0.0.1", port), 1)):
                return
        except OSError:
            said = log.read_text() if log.exists() else ""
            assert process.poll() is None, f"PgBouncer ended:\n{said}"
            assert time.monotonic() < deadline, f"PgBouncer does not answer:\n{said}"
            time.sleep(0.05)
