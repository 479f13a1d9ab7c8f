# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy's runtime API: commands over the admin socket, or over TCP with a certificate on each side."""

from __future__ import annotations

import contextlib
import csv
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..errors import CutoverError

#: The runtime API takes commands apart at spaces and semicolons; nothing that is sent here needs either.
SAFE_WORD = re.compile(r"^[A-Za-z0-9_.:/@%+=,-]+$")
#: What ends an answer in the interactive mode, in which a connection serves for many commands.
_PROMPT = b"\n> "
#: Columns of `show stat` that count requests on their way: at a server, and waiting for one.
_IN_FLIGHT = ("scur", "qcur")


class ProxyError(CutoverError):
    """HAProxy refused a command or did not answer; the text names the proxy and is for the operator."""


@dataclass(frozen=True)
class Endpoint:
    """Where a proxy takes commands: ``socket`` (a path on this host), or ``host`` and ``port`` with certificates.

    name: what messages call the proxy. map_path: the map's file, spelled as in HAProxy's configuration.
    ca, certificate, key: paths of PEM files on this host. server_name: the name in the proxy's certificate, by
    default ``host``. A proxy with a socket runs on this host, so its map file is written as well.
    """

    name: str
    map_path: str
    socket: str = ""
    host: str = ""
    port: int = 0
    ca: str = ""
    certificate: str = ""
    key: str = ""
    server_name: str = ""

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Endpoint:
        """From plain data with the names above. Raises ProxyError for an unknown, missing or contradicting entry."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(entry) - known)
        name = str(entry.get("name") or entry.get("socket") or entry.get("host") or "without name")
        if unknown:
            raise ProxyError(f"proxy {name}: unknown entry {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        values = {key: value for key, value in entry.items() if value not in (None, "")}
        missing = [key for key in ("map_path",) if key not in values]
        if "socket" not in values:
            missing += [key for key in ("host", "port", "ca", "certificate", "key") if key not in values]
        elif "host" in values:
            raise ProxyError(f"proxy {name}: socket and host are both given; leave one out")
        if missing:
            raise ProxyError(
                f"proxy {name}: {', '.join(missing)} missing; give map_path, and socket or host with port, "
                "ca, certificate and key"
            )
        values["port"] = int(values.get("port", 0))
        return cls(**{**values, "name": name})

    @property
    def local(self) -> bool:
        """Whether the proxy runs on this host."""
        return bool(self.socket)

    def __str__(self) -> str:
        where = self.socket or f"{self.host}:{self.port}"
        return where if self.name in (where, self.host) else f"{self.name} ({where})"


class Runtime:
    """Commands to one proxy. Every call ends within ``timeout`` seconds: with the answer or with ProxyError.

    keep: one connection for all commands, for a switch that counts milliseconds (a TLS handshake takes several). It
    stays with the process that it was made with. After a reload that is the old one, whose ``show info`` then says
    ``Stopping: 1``; ``close`` makes the next command connect anew, with the process that listens now.
    """

    def __init__(self, endpoint: Endpoint, timeout: float = 5.0, keep: bool = False) -> None:
        self.endpoint = endpoint
        self.timeout = timeout
        self.keep = keep
        self._context: ssl.SSLContext | None = None
        self._open: socket.socket | None = None

    # ---- connections

    def _tls(self) -> ssl.SSLContext:
        """The context, made once: reading the files takes longer than a command."""
        if self._context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_verify_locations(self.endpoint.ca)
            context.load_cert_chain(self.endpoint.certificate, self.endpoint.key)
            self._context = context
        return self._context

    def _connect(self, until: float) -> socket.socket:
        """A new connection; always with the process that listens now, never with one that a reload replaced."""
        endpoint = self.endpoint
        if endpoint.socket:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.settimeout(_left(until))
                connection.connect(endpoint.socket)
            except BaseException:
                connection.close()
                raise
            return connection
        plain = socket.create_connection((endpoint.host, endpoint.port), timeout=_left(until))
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.settimeout(_left(until))
            return self._tls().wrap_socket(plain, server_hostname=endpoint.server_name or endpoint.host)
        except BaseException:
            plain.close()
            raise

    def close(self) -> None:
        """End the connection that is kept."""
        if self._open is not None:
            with contextlib.suppress(OSError):
                self._open.close()
            self._open = None

    # ---- commands

    def ask(self, command: str) -> str:
        """Send one command and return the answer, stripped."""
        until = time.monotonic() + self.timeout
        try:
            return self._ask_again(command, until) if self.keep else self._ask_once(command, until)
        except (OSError, ValueError) as error:
            self.close()
            raise self._silent(error) from error

    def _ask_once(self, command: str, until: float) -> str:
        """Over a connection of its own."""
        with contextlib.closing(self._connect(until)) as connection:
            connection.sendall(command.encode() + b"\n")
            answer = b""
            while True:
                connection.settimeout(_left(until))
                part = connection.recv(65536)
                if not part:
                    return _text(answer)
                answer += part

    def _ask_again(self, command: str, until: float) -> str:
        """Over the connection that is kept; when that one has ended meanwhile, over a new one."""
        if self._open is not None:
            try:
                return self._exchange(command, until)
            except (ConnectionError, ssl.SSLError):
                # Every command sent here may be sent twice.
                self.close()
        self._open = self._connect(until)
        self._exchange("prompt", until)
        # A long wait between two commands must not end the connection.
        self._exchange("set timeout cli 600", until)
        return self._exchange(command, until)

    def _exchange(self, command: str, until: float) -> str:
        """One command and its answer, in interactive mode."""
        connection = self._open
        if connection is None:
            raise ConnectionError("the connection is closed")
        connection.settimeout(_left(until))
        connection.sendall(command.encode() + b"\n")
        answer = b""
        while not answer.endswith(_PROMPT):
            connection.settimeout(_left(until))
            part = connection.recv(65536)
            if not part:
                raise ConnectionError("it closed the connection")
            answer += part
        return _text(answer[: -len(_PROMPT)])

    def _silent(self, error: Exception) -> ProxyError:
        """No answer, in words."""
        endpoint = self.endpoint
        if endpoint.local:
            advice = "Is it running, and may this user open the socket?"
        elif isinstance(error, ssl.SSLError):
            advice = "Do both sides have certificates of this migration, which have not expired?"
        else:
            advice = "Is it running, and is the port open for this host?"
        return ProxyError(f"HAProxy did not answer on {endpoint}: {error}. {advice}")

    # ---- the map

    def map_entries(self, path: str) -> dict[str, str]:
        """The entries of a map as they are in memory."""
        answer = self.ask(f"show map {path}")
        entries = {}
        for line in answer.splitlines():
            words = line.split(None, 2)
            # Each line is an address, the key and the value; anything else is a complaint.
            if len(words) < 2 or not words[0].startswith("0x"):
                raise ProxyError(f"HAProxy at {self.endpoint} does not know the map {path}: {answer}")
            entries[words[1]] = words[2] if len(words) == 3 else ""
        return entries

    def set_entry(self, path: str, key: str, value: str, present: bool) -> str:
        """Set or add one entry in memory; returns the command."""
        for word in (path, key, value):
            if not SAFE_WORD.match(word):
                raise ProxyError(
                    f"{word!r} cannot be sent to HAProxy's runtime API: use letters, digits and _.:/@%+=,-"
                )
        command = f"{'set' if present else 'add'} map {path} {key} {value}"
        answer = self.ask(command)
        if answer:
            raise ProxyError(f"HAProxy at {self.endpoint} refused {command!r}: {answer}")
        return command

    # ---- statistics

    def statistics(self) -> list[dict[str, str]]:
        """All lines of `show stat`, keyed by HAProxy's column names."""
        return _rows(self.ask("show stat"))

    def backends(self, names: Iterable[str]) -> list[dict[str, str]]:
        """The statistics of the named backends. Raises ProxyError when there is no such backend."""
        wanted = set(names)
        return self._named(self.statistics(), wanted)

    def queued_and_served(self, names: Iterable[str]) -> int:
        """Requests that the named backends hold now, queued ones included."""
        return _in_flight(self.backends(names))

    def in_flight(self, names: Iterable[str]) -> int:
        """The same without the lines of everything else: for a question that is asked every millisecond."""
        count = 0
        for name in names:
            # Type 2: the backend's own line only. One command at a time: in a chain each answer has its own prompt.
            count += _in_flight(self._named(_rows(self.ask(f"show stat {name} 2 -1")), {name}))
        return count

    def _named(self, rows: list[dict[str, str]], names: set[str]) -> list[dict[str, str]]:
        """The rows of backends with these names."""
        found = [row for row in rows if row.get("svname") == "BACKEND" and row.get("pxname") in names]
        missing = sorted(names - {row["pxname"] for row in found})
        if missing:
            # An unknown name must not look like an idle backend.
            raise ProxyError(f"HAProxy at {self.endpoint} has no backend named {', '.join(missing)}")
        return found

    # ---- the process

    def process(self) -> dict[str, str]:
        """`show info`: Version, Pid, Uptime_sec and so on."""
        pairs = (line.partition(":") for line in self.ask("show info").splitlines())
        return {name.strip(): value.strip() for name, _, value in pairs}

    def clock(self) -> float:
        """The proxy's clock less this host's, in seconds. 0 where they cannot be told apart, as always on this host."""
        if self.endpoint.local:
            return 0.0
        # The quickest answer of a few is the least uncertain: it came between two looks at this host's clock.
        doubt, difference = min(self._clock() for _ in range(3))
        return 0.0 if abs(difference) <= doubt else difference

    def _clock(self) -> tuple[float, float]:
        """By how much the difference may be wrong, and the difference."""
        before = time.time()
        answer = self.ask("show activity")
        after = time.time()
        found = re.search(r"^date_now: *([0-9]+\.[0-9]+)", answer, re.MULTILINE)
        if found is None:
            raise ProxyError(f"HAProxy at {self.endpoint} does not tell its time ({answer[:80]!r})")
        return (after - before) / 2, float(found.group(1)) - (before + after) / 2


def wait_idle(count: Callable[[], int], names: Iterable[str], until: float, pause: float) -> float:
    """Wait until ``count()`` was zero twice in a row; returns the seconds it took.

    names: the backends, for the message. until: ``time.monotonic()`` at which to give up, with ProxyError. pause:
    seconds between two looks.
    """
    started = time.monotonic()
    idle_before = False
    while True:
        found = count()
        # Twice in a row: a request that passed the rules just before the map changed may not have reached its backend
        # at the first look.
        if found == 0 and idle_before:
            return time.monotonic() - started
        idle_before = found == 0
        if time.monotonic() >= until:
            raise ProxyError(
                f"{found} request(s) still in flight on {', '.join(names)} after {until - started:.3g} s. "
                "Look for a slow request or an open upload, then run this again."
            )
        time.sleep(pause)


def _left(until: float) -> float:
    """Seconds until then. Raises TimeoutError when none are left."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _text(answer: bytes) -> str:
    return answer.decode(errors="replace").strip()


def _rows(text: str) -> list[dict[str, str]]:
    """`show stat` as one dictionary a line."""
    lines = text.lstrip("# ").splitlines()
    return [{name: value for name, value in row.items() if name} for row in csv.DictReader(lines)]


def _in_flight(rows: Iterable[Mapping[str, str]]) -> int:
    return sum(int(row[column] or 0) for row in rows for column in _IN_FLIGHT)
