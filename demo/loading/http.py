# SPDX-License-Identifier: GPL-3.0-or-later
"""A small HTTP/1.1 client over asyncio streams, with keep-alive connections to 127.0.0.1."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

HOST = "127.0.0.1"
# Servers close idle connections; one that was idle for longer is not trusted with a request.
MAX_IDLE_SECONDS = 1.5
MAX_BODY_BYTES = 8 * 1024 * 1024


class RequestFailed(Exception):
    """No complete answer came; the message is one word or two for the statistics."""


class Answer(NamedTuple):
    """One answer. `database` is what the application says in X-Database: which kind of database it used."""

    status: int
    body: bytes
    database: str = ""


@dataclass
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    idle_since: float = 0.0


@dataclass
class Pool:
    """Keep-alive connections, at most `limit` at a time; requests beyond that wait their turn."""

    port: int
    limit: int = 64
    timeout: float = 10.0
    _idle: list[_Connection] = field(default_factory=list)
    _slots: asyncio.Semaphore | None = None

    async def request(self, method: str, path: str, data: Any = None) -> Answer:
        """Send one request once; a failure is reported, never hidden by a second try."""
        if self._slots is None:
            # Made here, inside the running loop, which Python 3.9 insists on.
            self._slots = asyncio.Semaphore(self.limit)
        try:
            return await asyncio.wait_for(self._request(self._slots, method, path, data), self.timeout)
        except asyncio.TimeoutError:
            raise RequestFailed("timeout") from None
        except ConnectionRefusedError:
            raise RequestFailed("refused") from None
        except (OSError, asyncio.IncompleteReadError):
            raise RequestFailed("connection lost") from None
        except (ValueError, asyncio.LimitOverrunError):
            raise RequestFailed("bad answer") from None

    async def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().writer.close()

    async def _request(self, slots: asyncio.Semaphore, method: str, path: str, data: Any) -> Answer:
        async with slots:
            connection = self._reusable() or _Connection(*await asyncio.open_connection(HOST, self.port))
            keep = False
            try:
                connection.writer.write(self._encode(method, path, data))
                await connection.writer.drain()
                answer, keep = await _answer(connection.reader)
                return answer
            finally:
                if keep:
                    connection.idle_since = time.monotonic()
                    self._idle.append(connection)
                else:
                    connection.writer.close()

    def _reusable(self) -> _Connection | None:
        newest_useless = time.monotonic() - MAX_IDLE_SECONDS
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_since > newest_useless and not connection.reader.at_eof():
                return connection
            connection.writer.close()
        return None

    def _encode(self, method: str, path: str, data: Any) -> bytes:
        head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}:{self.port}\r\nUser-Agent: pg-cutover-load\r\n"
        if data is None:
            return f"{head}\r\n".encode("ascii")
        body = json.dumps(data).encode()
        return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def _answer(reader: asyncio.StreamReader) -> tuple[Answer, bool]:
    """Read one response, and whether the connection may be used again."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    version, _, rest = head[0].partition(" ")
    status = int(rest[:3])
    headers = {}
    for line in head[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip().lower()
    keep = version == "HTTP/1.1" and headers.get("connection") != "close"
    if status in (204, 304):
        body = b""
    elif headers.get("transfer-encoding") == "chunked":
        body = await _chunks(reader)
    elif "content-length" not in headers:
        body, keep = await reader.read(MAX_BODY_BYTES), False
    else:
        length = int(headers["content-length"])
        if length > MAX_BODY_BYTES:
            raise ValueError("the answer is too long")
        body = await reader.readexactly(length)
    return Answer(status, body, headers.get("x-database", "")), keep


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while True:
        length = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        if len(body) + length > MAX_BODY_BYTES:
            raise ValueError("the answer is too long")
        body += (await reader.readexactly(length + 2))[:-2]
        if length == 0:
            return body
