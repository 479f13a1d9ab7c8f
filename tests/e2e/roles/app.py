# SPDX-License-Identifier: GPL-3.0-or-later
"""A web application of a few lines, for the tests of the roles around an application.

`app.py start|stop|restart <directory> <port> [<name>]` reads <directory>/<name>.env when it starts; the name is app.
GET /health tells the database, / answers 200, POST waits ?seconds= before it answers.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


def database(environment: Path) -> str:
    """The kind of database in DATABASE_URL."""
    found = re.search(r"^(?:export )?DATABASE_URL=[\"']?(\w+)", environment.read_text(), re.MULTILINE)
    return found.group(1) if found else "none"


class Handler(BaseHTTPRequestHandler):
    """Answers."""

    protocol_version = "HTTP/1.1"
    kind = ""

    def answer(self, status: int, body: dict[str, str]) -> None:
        """Send JSON."""
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        known = path in ("/", "/health")
        self.answer(200 if known else 404, {"database": self.kind, "path": path})

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(float(parse_qs(urlsplit(self.path).query).get("seconds", ["0"])[0]))
        self.answer(201, {"database": self.kind})

    def log_message(self, *args: object) -> None:
        """Keep quiet."""


def stop(pid_file: Path) -> None:
    """End the running one."""
    with suppress(OSError, ValueError):
        pid = int(pid_file.read_text())
        if b"app.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGTERM)
            # Its sockets are closed once it is gone or a zombie, not before.
            while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.02)
    pid_file.unlink(missing_ok=True)


def listen(port: int) -> ThreadingHTTPServer:
    """Take the port; the threads of the one that was stopped may hold it a moment longer than its first one."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return ThreadingHTTPServer(("127.0.0.1", port), Handler)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def start(environment: Path, port: int, pid_file: Path) -> None:
    """Serve in the background."""
    Handler.kind = database(environment)
    server = listen(port)
    if os.fork():
        os._exit(0)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    pid_file.write_text(str(os.getpid()))
    server.serve_forever()


def main() -> None:
    """Entry point."""
    action, directory, port = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    name = sys.argv[4] if len(sys.argv) > 4 else "app"
    pid_file = directory / f"{name}.pid"
    if action in ("stop", "restart"):
        stop(pid_file)
    if action in ("start", "restart"):
        start(directory / f"{name}.env", port, pid_file)


if __name__ == "__main__":
    main()
