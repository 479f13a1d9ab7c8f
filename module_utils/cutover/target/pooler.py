# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a connection pooler stands between this host and PostgreSQL, by its address and by how it behaves.

A session of the engine carries settings, a snapshot, locks and a COPY over many statements. A pooler in transaction mode
gives each transaction whatever session is free: the settings are lost, or are another's.
"""

from __future__ import annotations

import re
import select
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from ..errors import TargetError
from .connect import check_url, explain_connect

try:
    import psycopg2
    import psycopg2.extensions
except ImportError:  # pragma: no cover - reported by recognise(), with what to install
    psycopg2 = None  # type: ignore[assignment]  # its absence is told by recognise()

DIRECT, SESSION, TRANSACTION, STATEMENT = "direct", "session", "transaction", "statement"
#: Seconds for one answer, and how often two connections take turns. A direct connection pays a few round trips.
_PATIENCE = 10.0
_ROUNDS = 6
#: What names a backend for as long as its server runs; no two live connections share it.
_IDENTITY = (
    "SELECT pg_backend_pid(), (SELECT extract(epoch FROM backend_start)::text FROM pg_stat_activity"
    " WHERE pid = pg_backend_pid()), extract(epoch FROM pg_postmaster_start_time())::text,"
    " coalesce(host(inet_server_addr()), ''), coalesce(inet_server_port(), 0)"
)


@dataclass(frozen=True)
class Known:
    """An address by which a platform's pooler in transaction mode is known, and what to name instead."""

    name: str
    instead: str


@dataclass(frozen=True)
class Between:
    """What stands in between. mode: see above. why: what showed it. server: PostgreSQL's own address, as it sees itself."""

    mode: str
    why: str = ""
    server: str = ""
    #: No second connection was served in time.
    crowded: bool = False

    @property
    def shares(self) -> bool:
        """Whether sessions are shared, which the engine cannot work with."""
        return self.mode in (TRANSACTION, STATEMENT)


class _Slow(Exception):
    """No answer in time."""


def place(url: str) -> tuple[str, int, str]:
    """Host, port and user of a URL, each also where it stands in the query."""
    parts = urlsplit(url)
    asked = dict(pair.split("=", 1) for pair in parts.query.split("&") if "=" in pair)
    host = unquote(parts.hostname or asked.get("host", ""))
    user = unquote(parts.username or asked.get("user", ""))
    return host.lower().rstrip("."), int(parts.port or asked.get("port") or 5432), user


def known(url: str) -> Known | None:
    """The pooler in transaction mode that this address is known for; None for any other."""
    host, port, user = place(url)
    if re.search(r"\.pooler\.supabase\.(com|co)$", host) and port == 6543:
        project = user.split(".", 1)[1] if "." in user else "<project>"
        return Known(
            "Supabase's pooler in transaction mode",
            f"port 5432 of the same host (its session mode), or db.{project}.supabase.co with port 5432 and the user postgres "
            "(direct; by IPv6, unless the project has the IPv4 add-on)",
        )
    if re.search(r"^db\.[a-z0-9]+\.supabase\.(com|co)$", host) and port == 6543:
        return Known("Supabase's dedicated pooler in transaction mode", "port 5432 of the same host (direct)")
    if re.search(r"^[^.]+-pooler\..*neon\.(tech|build)$", host):
        return Known("Neon's pooler", f"the host {host.replace('-pooler.', '.', 1)} (direct: the name without -pooler)")
    if host.endswith(".postgres.database.azure.com") and port == 6432:
        return Known("Azure's built-in PgBouncer", "port 5432 of the same host (direct)")
    if host.endswith(".db.ondigitalocean.com") and port == 25061:
        return Known(
            "DigitalOcean's connection pool", "port 25060 of the same host, with the database's own name (direct)"
        )
    if re.search(r"\.proxy-[a-z0-9]+\.[a-z0-9-]+\.rds\.amazonaws\.com$", host):
        return Known("RDS Proxy", "the endpoint of the instance, or the cluster's writer endpoint (direct)")
    return None


def refusal(url: str, between: Between | None) -> str | None:
    """The message that refuses a pooler of shared sessions and names what to use instead; None where there is none."""
    host, port, _ = place(url)
    told = known(url)
    if told is None and (between is None or not between.shares):
        return None
    if told is not None:
        name, instead = told.name, told.instead
    else:
        assert between is not None
        name = f"a connection pooler in {between.mode} mode ({between.why})"
        there = f", which says that it listens on {between.server}" if between.server else ""
        instead = f"the address of PostgreSQL itself{there}, or of PgBouncer a database with pool_mode = session"
    # What to do comes first: a long message is cut on the terminal.
    return (
        f"{host} port {port} is {name}. Use {instead}. Such a pooler gives each transaction another session, and COPY, "
        "snapshots, locks and settings need one of their own; only the application may go through it "
        "(cutover_application_url)."
    )


class _Conversation:
    """One connection whose every answer is waited for with a deadline; nothing is set in the session behind it."""

    def __init__(self, url: str, patience: float) -> None:
        self.patience = patience
        # By its name the arithmetic of the limits leaves it out.
        self.connection = psycopg2.connect(url, async_=True, application_name="pg-cutover")
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def _wait(self) -> None:
        until = time.monotonic() + self.patience
        while True:
            state = self.connection.poll()
            if state == psycopg2.extensions.POLL_OK:
                return
            left = until - time.monotonic()
            reading = [self.connection] if state == psycopg2.extensions.POLL_READ else []
            writing = [self.connection] if state == psycopg2.extensions.POLL_WRITE else []
            if left <= 0 or not any(select.select(reading, writing, [], left)):
                raise _Slow

    def ask(self, statement: str) -> tuple[Any, ...]:
        """The first row that a statement gives; () where it gives none."""
        self._cursor = self.connection.cursor()
        self._cursor.execute(statement)
        return self.answer()

    def answer(self) -> tuple[Any, ...]:
        """The answer to what was asked last, also after it had been too slow."""
        self._wait()
        return tuple(self._cursor.fetchone() or ()) if self._cursor.description else ()

    def close(self) -> None:
        """End it, whatever it waits for."""
        self.connection.close()


@contextmanager
def _explained(url: str) -> Iterator[None]:
    try:
        yield
    except _Slow:
        raise TargetError(explain_connect(url, "timeout expired")) from None
    except psycopg2.Error as error:
        raise TargetError(explain_connect(url, str(error))) from None


def recognise(url: str, patience: float = _PATIENCE) -> Between:
    """How the address behaves. Raises TargetError when it cannot be reached.

    A direct connection is never taken for a pooler: only a backend that served two connections at once, or one connection
    that met two backends, counts.
    """
    if psycopg2 is None:
        raise TargetError("the Python module psycopg2 is missing on this host: install python3-psycopg2.")
    check_url(url)
    with _explained(url):
        first = _Conversation(url, patience)
    with closing(first):
        with _explained(url):
            identity = first.ask(_IDENTITY)
        address, port = identity[3], int(identity[4])
        server = f"port {port}" + (f" of {address}" if address else "") if port else ""
        # The number that the client was told at the start is the backend's own, unless somebody in between invented one.
        behind = int(first.connection.info.backend_pid) != int(identity[0])
        try:
            second = _Conversation(url, patience)
        except (_Slow, psycopg2.Error):
            # A limit of connections, most likely: the arithmetic of the limits tells.
            return _unshared(server, behind, crowded=True)
        with closing(second):
            return _take_turns(first, second, identity, server, behind)


def _take_turns(
    first: _Conversation, second: _Conversation, identity: tuple[Any, ...], server: str, behind: bool
) -> Between:
    """Each connection asks who serves it while the other one holds a transaction."""
    seen = {identity}
    for _ in range(_ROUNDS):
        try:
            second.ask("BEGIN")
            other = second.ask(_IDENTITY)
        except _Slow:
            # It got in and is not served: the one session that is free belongs to the first.
            return _unshared(server, behind, crowded=True)
        except psycopg2.Error as error:
            if "statement pooling" in str(error):
                return Between(STATEMENT, "it refuses transactions of several statements", server)
            raise TargetError(f"PostgreSQL does not answer who serves a connection: {error}".split("\n")[0]) from None
        if other in seen:
            return Between(TRANSACTION, f"two open connections met the same backend, {other[0]}", server)
        try:
            mine = _meanwhile(first, second)
        except _Slow:
            raise TargetError("PostgreSQL does not answer in time; is it overloaded?") from None
        except psycopg2.Error as error:
            raise TargetError(f"the connection broke while it was tried: {error}".split("\n")[0]) from None
        seen.add(mine)
        if len(seen) > 1:
            pids = " and ".join(str(one[0]) for one in sorted(seen))
            return Between(TRANSACTION, f"one connection met several backends, {pids}", server)
    return _unshared(server, behind)


def _meanwhile(first: _Conversation, second: _Conversation) -> tuple[Any, ...]:
    """Who serves the first connection while the second one holds a transaction, which is ended here."""
    try:
        mine = first.ask(_IDENTITY)
    except _Slow:
        # No proof by itself: a direct connection may be slow too. If it waited for the other one, it is served now.
        second.ask("COMMIT")
        return first.answer()
    second.ask("COMMIT")
    return mine


def _unshared(server: str, behind: bool, crowded: bool = False) -> Between:
    if not behind:
        return Between(DIRECT, "", server, crowded)
    return Between(SESSION, "the number of the backend is another than the client was told", server, crowded)


def room(url: str, wanted: int, patience: float = _PATIENCE) -> int:
    """How many of ``wanted`` connections are served at the same time: no catalog tells the limits of a pooler."""
    opened: list[_Conversation] = []
    until = time.monotonic() + patience
    try:
        while len(opened) < wanted:
            one = _Conversation(url, max(0.1, until - time.monotonic()))
            try:
                one.patience = max(0.1, until - time.monotonic())
                one.ask("SELECT 1")
            except BaseException:
                one.close()
                raise
            opened.append(one)
    except (_Slow, psycopg2.Error):
        pass
    finally:
        for one in opened:
            one.close()
    return len(opened)
