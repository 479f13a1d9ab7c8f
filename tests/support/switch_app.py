# SPDX-License-Identifier: GPL-3.0-or-later
"""An application for tests of the switch, a process of its own: ``python switch_app.py PORT SQLITE-PATH-OR-URL``.

POST /write?id=N stores an event, counts it and changes its parent in one transaction, after ``?ms=`` milliseconds inside it;
POST /remove?id=N deletes one. GET /read?id=N answers whether the event is there, after ``?ms=`` milliseconds. 200 means
committed, 500 not.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg2

LOCAL = threading.local()


class Sqlite:
    """The database before the switch."""

    mark = "?"

    def __init__(self, path: str) -> None:
        self.connection = sqlite3.connect(path, timeout=5, isolation_level=None)
        self.connection.execute("PRAGMA foreign_keys = on")

    def begin(self) -> Any:
        """A cursor in a transaction."""
        self.connection.execute("BEGIN IMMEDIATE")
        return self.connection.cursor()

    def end(self, good: bool) -> None:
        """Commit, or roll back."""
        if self.connection.in_transaction:
            self.connection.execute("COMMIT" if good else "ROLLBACK")


class Postgres:
    """The database after it."""

    mark = "%s"

    def __init__(self, url: str) -> None:
        self.connection = psycopg2.connect(url)

    def begin(self) -> Any:
        """A cursor in a transaction."""
        return self.connection.cursor()

    def end(self, good: bool) -> None:
        """Commit, or roll back."""
        if good:
            self.connection.commit()
        else:
            self.connection.rollback()


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    where = ""

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def handle(self) -> None:
        """A health check's connection may be gone before it is answered."""
        with contextlib.suppress(ConnectionError):
            super().handle()

    def answer(self, status: int, text: str, kind: str = "text/plain") -> None:
        """Send it."""
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def serve(self) -> None:
        """Any request."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        given = {name: int(values[0]) for name, values in parse_qs(parts.query).items()}
        if parts.path == "/health":
            self.answer(200, "well")
            return
        for retry in (True, False):
            try:
                self.answer(200, self.work(parts.path, given))
                return
            except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
                # The server was restarted since this thread's last request; nothing of this one was done.
                LOCAL.database = None
                if not retry:
                    self.answer(500, f"{type(error).__name__}: {error}")
            except (sqlite3.Error, psycopg2.Error) as error:
                self.answer(500, f"{type(error).__name__}: {error}")
                return

    def work(self, path: str, given: dict[str, int]) -> str:
        """What the request asks for."""
        database = getattr(LOCAL, "database", None)
        if database is None:
            database = LOCAL.database = Postgres(self.where) if "://" in self.where else Sqlite(self.where)
        number, mark, good = given["id"], database.mark, False
        if path == "/read":
            time.sleep(given.get("ms", 0) / 1000)
        if path == "/read" and isinstance(database, Sqlite):
            cursor = database.connection.execute("SELECT note FROM event WHERE id = ?", (number,))
            return "there" if cursor.fetchone() else "none"
        cursor = database.begin()
        try:
            if path == "/read":
                cursor.execute(f"SELECT note FROM event WHERE id = {mark}", (number,))
                return "there" if cursor.fetchone() else "none"
            if path == "/remove":
                cursor.execute(f"DELETE FROM event WHERE id = {mark}", (number,))
            else:
                owner = number % 20 + 1
                cursor.execute(
                    f"INSERT INTO event (id, owner_id, note, at) VALUES ({mark}, {mark}, {mark}, {mark})",
                    (number, owner, f"note {number}", "2026-01-02 03:04:05"),
                )
                cursor.execute(f"UPDATE owner SET events = events + 1 WHERE id = {mark}", (owner,))
                cursor.execute(f"INSERT INTO tag (word) VALUES ({mark})", (f"tag {number}",))
            time.sleep(given.get("ms", 0) / 1000)
            good = True
        finally:
            database.end(good)
        return "done"

    do_GET = do_POST = serve


class Server(ThreadingHTTPServer):
    """Many connections at once."""

    daemon_threads = True
    request_queue_size = 256


if __name__ == "__main__":
    Handler.where = sys.argv[2]
    with Server(("127.0.0.1", int(sys.argv[1])), Handler) as server:
        print("ready", flush=True)
        server.serve_forever()
