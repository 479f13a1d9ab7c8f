# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's application on both databases behind HAProxy, ready to be switched by the engine."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from .postgres import Cluster
from .project import ROOT
from .proxies import free_port, haproxy
from .switching import Stage, admitted, follow_ready

DEMO = ROOT / "demo"


@contextmanager
def demo_stage(folder: Path, cluster: Cluster, scale: float) -> Iterator[Stage]:
    """See ``switching.stage``; the database and the applications are the demo's."""
    source = folder / "app.sqlite"
    subprocess.run([sys.executable, str(DEMO / "seed.py"), str(source), "--scale", str(scale)], check=True)
    with closing(sqlite3.connect(source)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    database = cluster.create_database()
    plan = follow_ready(source, folder, database)
    role, url = admitted(cluster, database, plan)
    with (
        _application(folder, "blue", f"sqlite:///{source}") as (blue, blue_port),
        _application(folder, "green", url) as (green, green_port),
        haproxy(folder / "proxy", blue_port, green_port) as proxy,
    ):
        yield Stage(folder, source, cluster, database, plan, proxy, role, blue, green, blue_port)


@contextmanager
def _application(folder: Path, name: str, url: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    port, settings = free_port(), folder / f"{name}.env"
    settings.touch(mode=0o600)
    settings.write_text(f"DATABASE_URL={url}\n", encoding="utf-8")
    command = [
        *(sys.executable, "-m", "gunicorn", "--config", str(DEMO / "gunicorn.conf.py"), "--chdir", str(DEMO)),
        *("--bind", f"127.0.0.1:{port}", "app.wsgi:application"),
    ]
    environment = {"DEMO_ENV_FILE": str(settings), "PYTHONDONTWRITEBYTECODE": "1"}
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        _until_healthy(process, port, folder / f"{name}.log")
        yield process, port
    finally:
        process.terminate()
        process.wait(30)


def _until_healthy(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.1)
