#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small application: orders in SQLite or PostgreSQL, as DATABASE_URL says.

GET /health tells the database; POST /orders {"write_id", "item"} takes an order; GET /orders/<write_id> shows one;
GET / counts them. A database that refuses gives 503.
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg2

URL = os.environ["DATABASE_URL"]
KIND = "sqlite" if URL.startswith("sqlite") else "postgresql"


def ask(statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Run one statement in a transaction of its own."""
    if KIND == "postgresql":
        with closing(psycopg2.connect(URL, connect_timeout=5)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement.replace("?", "%s"), values)
            return cursor.fetchall() if cursor.description else []
    path = URL[len("sqlite:///") :]
    with closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=5)) as connection, connection:
        return connection.execute(statement, values).fetchall()


class Handler(BaseHTTPRequestHandler):
    """One request after the other on a connection that stays."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Read."""
        if self.path == "/health":
            self.guarded(lambda: (200, {"database": KIND, "orders": ask("SELECT count(*) FROM orders")[0][0]}))
        elif self.path.startswith("/orders/"):
            self.guarded(lambda: self.order(self.path.rpartition("/")[2]))
        elif self.path == "/":
            self.guarded(lambda: (200, {"customers": ask("SELECT count(*) FROM customers")[0][0]}))
        else:
            self.say(404, {})

    def do_POST(self) -> None:
        """Take an order."""
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.guarded(lambda: self.take(order))

    def order(self, write_id: str) -> tuple[int, dict[str, Any]]:
        """One order by the id that its writer gave it."""
        found = ask("SELECT id, item FROM orders WHERE write_id = ?", (write_id,))
        return (200, {"id": found[0][0], "item": found[0][1]}) if found else (404, {})

    def take(self, order: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Store it; answered when it is stored."""
        ask("INSERT INTO orders (write_id, customer_id, item) VALUES (?, 1, ?)", (order["write_id"], order["item"]))
        return 201, {}

    def guarded(self, work: Any) -> None:
        """Answer with what comes of it."""
        try:
            status, body = work()
        except (sqlite3.Error, psycopg2.Error) as error:
            status, body = 503, {"error": str(error).strip()}
        self.say(status, body)

    def say(self, status: int, body: dict[str, Any]) -> None:
        """One answer."""
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("X-Database", KIND)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """The proxy has a log."""


class Server(ThreadingHTTPServer):
    """As many waiting clients as a proxy may bring at once."""

    request_queue_size = 128
    daemon_threads = True


if __name__ == "__main__":
    Server(("", int(os.environ["PORT"])), Handler).serve_forever()
