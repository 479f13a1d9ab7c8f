# SPDX-License-Identifier: GPL-3.0-or-later
"""An instance of an application that writes all the time, for the tests of the rotation beside this file.

`app.py start|stop|restart <directory> <name> <port>` reads DATABASE_URL from <directory>/<name>.env when it starts, as an
application does, and keeps it. One thread logs in anew for every write, one keeps its connection for some hundred. What fails
goes to <name>.failures, what succeeded is counted in <name>.done. GET /health tells the database.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg2

ENDED = threading.Event()


class Handler(BaseHTTPRequestHandler):
    """Answers."""

    def do_GET(self) -> None:
        data = json.dumps({"database": "postgresql"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing: there is no terminal."""


class Server(ThreadingHTTPServer):
    """Shares its port with the instance that it follows."""

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()


def work(url: str, name: str, directory: Path, per_connection: int) -> None:
    """Write until the end; a request that has begun is finished."""
    done = 0
    while not ENDED.is_set():
        try:
            with contextlib.closing(psycopg2.connect(url, connect_timeout=20)) as connection:
                connection.autocommit = True
                for _ in range(per_connection):
                    with connection.cursor() as cursor:
                        cursor.execute("INSERT INTO written (instance, who) VALUES (%s, current_user)", [name])
                    done += 1
                    if ENDED.wait(0.02):
                        break
        except psycopg2.Error as error:
            with (directory / f"{name}.failures").open("a") as file:
                file.write(f"{time.time()} {os.getpid()} {error}\n")
            time.sleep(0.1)
    with (directory / f"{name}.done").open("a") as file:
        file.write(f"{done}\n")


def stop(pid_file: Path) -> None:
    """End the running one and wait until it is gone."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(pid_file.read_text())
        if b"app.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGTERM)
            while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.02)


def start(directory: Path, name: str, port: int) -> None:
    """Serve and work in the background."""
    text = (directory / f"{name}.env").read_text()
    found = re.search(r"^DATABASE_URL=(\S+)$", text, re.MULTILINE)
    assert found, text
    former = directory / f"{name}.pid"
    if os.fork():
        # The new one works before the old one ends: no moment without an instance.
        deadline = time.monotonic() + 20
        while not (directory / f"{name}.new").exists():
            assert time.monotonic() < deadline, "it does not start"
            time.sleep(0.02)
        stop(former)
        os.replace(directory / f"{name}.new", former)
        return
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    signal.signal(signal.SIGTERM, lambda *_: ENDED.set())
    server = Server(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    workers = [threading.Thread(target=work, args=(found.group(1), name, directory, n)) for n in (1, 300)]
    for worker in workers:
        worker.start()
    (directory / f"{name}.writing").write_text(str(os.getpid()))
    os.replace(directory / f"{name}.writing", directory / f"{name}.new")
    while not ENDED.wait(0.2):
        pass
    for worker in workers:
        worker.join()
    os._exit(0)


def main() -> None:
    """Entry point."""
    action, directory, name, port = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    (directory / f"{name}.new").unlink(missing_ok=True)
    if action == "stop":
        stop(directory / f"{name}.pid")
    else:
        start(directory, name, port)


if __name__ == "__main__":
    main()
