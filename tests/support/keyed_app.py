# SPDX-License-Identifier: GPL-3.0-or-later
"""A web application that does not mind what its keys are, started and stopped as the demo's is:
``keyed_app.py start|stop|restart|status --dir DIR --port PORT [--name NAME] [--env-file FILE]``.

It refers to rows by their names and lets the database give out the keys. /write, /remove, /read as in switch_app; GET /health
tells the kind of database.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import switch_app

SHELVES = 7
SCHEMA = f"""
CREATE TABLE shelf (id INTEGER PRIMARY KEY, label TEXT NOT NULL UNIQUE, notes INTEGER NOT NULL DEFAULT 0);
CREATE TABLE note (id INTEGER PRIMARY KEY AUTOINCREMENT, shelf_id INTEGER NOT NULL REFERENCES shelf (id),
  parent_id INTEGER REFERENCES note (id) ON DELETE SET NULL, name TEXT NOT NULL UNIQUE, at DATETIME NOT NULL);
CREATE TABLE tagged (note_id INTEGER NOT NULL REFERENCES note (id) ON DELETE CASCADE, word TEXT NOT NULL,
  PRIMARY KEY (note_id, word)) WITHOUT ROWID;
INSERT INTO shelf (id, label) WITH RECURSIVE c (x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM c WHERE x < {SHELVES - 1})
  SELECT 10 * x + 3, 'shelf ' || x FROM c;
INSERT INTO note (shelf_id, parent_id, name, at) WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 400)
  SELECT 10 * (x % {SHELVES}) + 3, nullif(x / 2, 0), 'old ' || x, '2026-01-01 00:00:00' FROM c;
INSERT INTO tagged SELECT id, 'word ' || id % 5 FROM note WHERE id % 3 = 0;
"""
ENDS_SECONDS = 20.0


class Handler(switch_app.Handler):
    """One connection of a client."""

    def serve(self) -> None:
        """Any request."""
        if self.path == "/health":
            told = {"database": "postgresql" if "://" in self.where else "sqlite"}
            self.answer(200, json.dumps(told), "application/json")
        else:
            super().serve()

    def work(self, path: str, given: dict[str, int]) -> str:
        """What the request asks for."""
        database = getattr(switch_app.LOCAL, "database", None)
        if database is None:
            opened = switch_app.Postgres if "://" in self.where else switch_app.Sqlite
            database = switch_app.LOCAL.database = opened(self.where)
        name, good = f"note {given['id']}", False
        cursor = database.begin()

        def run(statement: str, *values: Any) -> Any:
            cursor.execute(statement.replace("?", database.mark), values)
            return cursor

        try:
            if path == "/read":
                found = run("SELECT s.label FROM note n JOIN shelf s ON s.id = n.shelf_id WHERE n.name = ?", name)
                return "there" if found.fetchone() else "none"
            if path == "/remove":
                run("DELETE FROM note WHERE name = ?", name)
            else:
                shelf = f"shelf {given['id'] % SHELVES}"
                run(
                    "INSERT INTO note (shelf_id, parent_id, name, at) VALUES ((SELECT id FROM shelf WHERE label = ?),"
                    " (SELECT id FROM note WHERE name = ?), ?, ?)",
                    *(shelf, f"old {given['id'] % 400 + 1}", name, "2026-01-02 03:04:05"),
                )
                run("INSERT INTO tagged (note_id, word) SELECT id, 'new' FROM note WHERE name = ?", name)
                run("UPDATE shelf SET notes = notes + 1 WHERE label = ?", shelf)
            good = True
        finally:
            database.end(good)
        return "done"

    do_GET = do_POST = serve


def serve(port: int, environment: Path) -> None:
    """Answer until it is ended."""
    found = re.search(r"^DATABASE_URL=(.+)$", environment.read_text(), re.MULTILINE)
    assert found is not None, environment
    url = found.group(1).strip("\"'")
    Handler.where = url.removeprefix("sqlite:///") if url.startswith("sqlite:") else url
    with switch_app.Server(("127.0.0.1", port), Handler) as server:
        server.serve_forever()


def running(pid_file: Path) -> int | None:
    """The process that runs."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(pid_file.read_text())
        if b"keyed_app" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    return None


def healthy(port: int) -> bool:
    """Whether it answers."""
    with contextlib.suppress(OSError):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
            return True
    return False


def start(options: argparse.Namespace, pid_file: Path) -> None:
    """Serve in the background; back when it answers."""
    if running(pid_file) is not None:
        return
    pid_file.parent.mkdir(exist_ok=True)
    log = options.dir / "log" / f"{options.name}.log"
    log.parent.mkdir(exist_ok=True)
    command = [sys.executable, __file__, "serve", "--dir", str(options.dir), "--port", str(options.port)]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*command, "--env-file", str(options.env_file)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    pid_file.write_text(str(process.pid))
    until = time.monotonic() + ENDS_SECONDS
    while not healthy(options.port):
        if process.poll() is not None or time.monotonic() > until:
            sys.exit(log.read_text()[-2000:])
        time.sleep(0.05)


def stop(pid_file: Path) -> None:
    """End what runs."""
    pid = running(pid_file)
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + ENDS_SECONDS
    while running(pid_file) == pid and time.monotonic() < until:
        time.sleep(0.05)
    pid_file.unlink(missing_ok=True)
    print(f"stopped (pid {pid})")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser()
    parser.add_argument("action", choices=["start", "stop", "restart", "status", "serve"])
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--name", default="app")
    parser.add_argument("--env-file", type=Path)
    options = parser.parse_args()
    options.env_file = options.env_file or options.dir / "app.env"
    pid_file = options.dir / "run" / f"{options.name}.pid"
    if options.action == "serve":
        serve(options.port, options.env_file)
    if options.action == "status":
        sys.exit(3 if running(pid_file) is None else 0 if healthy(options.port) else 1)
    if options.action in ("stop", "restart"):
        stop(pid_file)
    if options.action in ("start", "restart"):
        start(options, pid_file)


if __name__ == "__main__":
    main()
