# SPDX-License-Identifier: GPL-3.0-or-later
"""An application for tests of the proxy, as a process of its own: ``python http_backend.py PORT SIDE``.

GET and POST answer {side, path, body} after ``?ms=`` milliseconds; GET /log answers what was executed so far,
as [method, path, begin, end] with the machine's monotonic clock in nanoseconds. /health answers 200, and 500 after
POST /sick. GET /stream sends a line every 20 ms for ``?ms=`` milliseconds. With an Upgrade
header the connection echoes what comes, after the side's name.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

LOG: list[tuple[str, str, int, int]] = []
LOCK = threading.Lock()
HEALTH = [200]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    side = ""

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def answer(self, status: int, content: Any) -> None:
        """Send JSON."""
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def serve(self) -> None:
        """Any request."""
        begin = time.monotonic_ns()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        wait = int(parse_qs(parts.query).get("ms", ["0"])[0]) / 1000
        if parts.path == "/health":
            self.answer(HEALTH[0], {})
            return
        if parts.path == "/log":
            with LOCK:
                self.answer(200, list(LOG))
            return
        if parts.path in ("/sick", "/well"):
            HEALTH[0] = 500 if parts.path == "/sick" else 200
        if self.headers.get("Upgrade"):
            self.send_response(101)
            self.send_header("Connection", "Upgrade")
            self.send_header("Upgrade", self.headers["Upgrade"])
            # The answer to the key of RFC 6455's example.
            self.send_header("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
            self.end_headers()
            self.close_connection = True
            # Echoes until the client ends the connection.
            while data := self.connection.recv(4096):
                self.wfile.write(self.side.encode() + b" " + data)
            return
        if parts.path == "/stream":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            while time.monotonic_ns() < begin + wait * 1e9:
                self.wfile.write(f"data: {self.side}\n\n".encode())
                time.sleep(0.02)
        elif wait:
            time.sleep(wait)
        with LOCK:
            LOG.append((self.command, self.path, begin, time.monotonic_ns()))
        if parts.path != "/stream":
            self.answer(200, {"side": self.side, "path": self.path, "body": len(body)})

    def handle(self) -> None:
        """A health check's connection may be gone before it is answered."""
        with contextlib.suppress(ConnectionError):
            super().handle()

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = serve


class Server(ThreadingHTTPServer):
    """Many connections at once."""

    daemon_threads = True
    request_queue_size = 256


if __name__ == "__main__":
    Handler.side = sys.argv[2]
    with Server(("127.0.0.1", int(sys.argv[1])), Handler) as server:
        print("ready", flush=True)
        server.serve_forever()
