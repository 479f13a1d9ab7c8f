# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to PostgreSQL, with one clear message for every way in which they fail. No password is ever shown."""

from __future__ import annotations

import re
import socket
from typing import Any
from urllib.parse import unquote, urlsplit

from ..errors import TargetError
from . import certificate

try:
    import psycopg2
    import psycopg2.extensions
except ImportError:  # pragma: no cover - reported by connect(), with what to install
    psycopg2 = None  # type: ignore[assignment]  # its absence is told by connect()

#: The engine's sessions read and write the same text whatever the server's or role's defaults are.
_SETTINGS = {
    "application_name": "pg-cutover",
    "client_encoding": "UTF8",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "iso_8601",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "search_path": "pg_catalog",
    # What the engine writes does not go back to the source: see reverse.capture.
    "pgcutover.applying": "on",
}
_CONNECT_TIMEOUT = 10
#: How libpq says that TLS does not come about as it was asked for.
_TLS = re.compile(
    "certificate verify failed|root certificate file|server certificate for|does not support ssl|sslmode value|ssl error:"
)
#: The libpq that has tcp_user_timeout.
_USER_TIMEOUT = 120000


class Url(str):
    """A connection URL that does not show its password when it is printed by accident."""

    def __repr__(self) -> str:
        return repr(redact(self))


def redact(url: str) -> str:
    """The URL without its password."""
    # To the end: an unencoded & or # in the password must not leave half of it visible.
    without = re.sub(r"([?&](?:ssl)?password=).*", r"\1***", url, flags=re.DOTALL | re.IGNORECASE)
    # And up to the last @, for the same reason.
    return re.sub(r"(?<=://)([^:@/?#]*):.*@", r"\1@", without, flags=re.DOTALL)


def check_url(url: str) -> None:
    """Raise TargetError unless the URL can be one of PostgreSQL."""
    if not url:
        raise TargetError(
            "cutover_target_url is empty. Give it in the inventory (vaulted) or in the environment variable "
            "CUTOVER_TARGET_URL: postgresql://user:password@host:5432/database"
        )
    if not url.startswith(("postgresql://", "postgres://")):
        raise TargetError("cutover_target_url must begin with postgresql:// (user, password, host, port, database).")
    try:
        parts = urlsplit(url)
        _ = parts.port
        # A / ? # @ or & in the password ends it too early: libpq would name what is left of it as something else.
        early = "@" not in parts.netloc and "@" in parts.path + parts.query + parts.fragment
        early = early or bool(parts.query and not all("=" in part for part in parts.query.split("&")))
        if early or parts.netloc.count("@") > 1 or re.search(r"%(?![0-9A-Fa-f]{2})", url):
            raise ValueError
    except ValueError:
        raise TargetError(
            "cutover_target_url cannot be read. Its port must be a number, and characters such as / : @ ? # & % in the "
            "password must be percent-encoded."
        ) from None


def _passwords(url: str) -> set[str]:
    """Every form in which a password of the URL could turn up in a message."""
    raw = {urlsplit(url).password or "", *re.findall(r"(?i)[?&](?:ssl)?password=([^&]*)", url)}
    return {form for text in raw for form in (text, unquote(text)) if form}


def _network(patience: int | None) -> dict[str, Any]:
    """libpq's parameters for a network that may fall silent."""
    if patience is None:
        return {
            "connect_timeout": _CONNECT_TIMEOUT,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
        }
    third = max(1, patience // 3)
    found: dict[str, Any] = {
        "connect_timeout": max(2, patience),
        "keepalives_idle": third,
        "keepalives_interval": third,
    }
    found["keepalives_count"] = 2
    if psycopg2.extensions.libpq_version() >= _USER_TIMEOUT:
        found["tcp_user_timeout"] = patience * 1000
    return found


def patient(seconds: int) -> dict[str, str]:
    """Settings by which the server gives up a session, and the locks it holds, whose client fell silent."""
    third = str(max(1, seconds // 3))
    return {
        "tcp_keepalives_idle": third,
        "tcp_keepalives_interval": third,
        "tcp_keepalives_count": "2",
        "tcp_user_timeout": str(seconds * 1000),
    }


def connect(
    url: str,
    autocommit: bool = False,
    settings: dict[str, str] | None = None,
    patience: int | None = None,
    bare: bool = False,
) -> Any:
    """A psycopg2 connection with the engine's session settings. Raises TargetError.

    patience: seconds after which a network that has fallen silent counts as cut; by default some minutes.
    bare: set nothing in the session, which behind a pooler may be another's next.
    """
    if psycopg2 is None:
        raise TargetError("the Python module psycopg2 is missing on this host: install python3-psycopg2.")
    check_url(url)
    try:
        connection = psycopg2.connect(
            url,
            **_network(patience),
        )
    except psycopg2.Error as error:
        raise TargetError(explain_connect(url, str(error))) from None
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            wanted = {**({} if bare else _SETTINGS), **(settings or {})}
            if wanted:
                # One statement: each is a round trip, and until it has run a role's own statement_timeout holds.
                calls = ", ".join(["set_config(%s, %s, false)"] * len(wanted))
                cursor.execute(f"SELECT {calls}", [text for pair in wanted.items() for text in pair])
        connection.autocommit = autocommit
    except psycopg2.Error as error:
        connection.close()
        raise TargetError(f"{redact(url)}: the session cannot be set up ({first_line(error)}).") from None
    return connection


def _place(url: str) -> tuple[str, int, str | None]:
    """Host, port and file of authorities that libpq takes from a URL."""
    try:
        found = psycopg2.extensions.parse_dsn(url)
        return found.get("host", ""), int(found.get("port") or 5432), found.get("sslrootcert")
    except (psycopg2.Error, ValueError):
        return "", 0, None


def explain_connect(url: str, text: str) -> str:
    where = redact(url)
    lower = text.lower()
    reason = " ".join(text.split())
    for password in sorted(_passwords(url), key=len, reverse=True):
        reason = reason.replace(password, "***")
    if "query parameter" in lower:
        reason = "a parameter behind the ? is none of PostgreSQL's"
    if _TLS.search(lower):
        hint = certificate.explain(text, *_place(url))
        return f"{where}: the connection cannot be encrypted as the URL asks (sslmode, sslrootcert). {hint}({reason})"
    if "password authentication failed" in lower or "no password supplied" in lower:
        return f"{where}: PostgreSQL refuses the user or the password. Check cutover_target_url."
    if "does not exist" in lower and "database" in lower:
        return f"{where}: this database does not exist. Create it, or let provision.yml do so. ({reason})"
    if "no pg_hba.conf entry" in lower:
        return f"{where}: pg_hba.conf of the server does not let this host in. ({reason})"
    if "too many" in lower or "remaining connection slots" in lower or "no more connections allowed" in lower:
        return f"{where}: PostgreSQL has no free connection. ({reason})"
    if "unsupported startup parameter" in lower:
        return (
            f"{where}: a connection pooler stands at this address, and it refuses what the URL asks for behind the ?. Give the "
            f"address of PostgreSQL itself. ({reason})"
        )
    return (
        f"{where}: PostgreSQL cannot be reached: is it running, and is host and port right? ({reason}){_families(url)}"
    )


def _families(url: str) -> str:
    """What the address family of a host that cannot be reached has to do with it; '' where it has two, or none."""
    host = unquote(urlsplit(url).hostname or "")
    if not host or host.startswith("/"):
        return ""
    try:
        found = {family for family, *_ in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return ""
    if found == {socket.AF_INET6} and not _routed(socket.AF_INET6):
        return (
            f" {host} has only an IPv6 address, and this host has no way into the IPv6 network. Give it one, or "
            "use an address that "
            "IPv4 reaches: of Supabase the session pooler (port 5432) or the IPv4 add-on."
        )
    if found == {socket.AF_INET6}:
        return f" {host} has only an IPv6 address: does PostgreSQL listen there, and does the firewall let it through?"
    if found == {socket.AF_INET} and not _routed(socket.AF_INET):
        return f" {host} has only an IPv4 address, and this host has no way into the IPv4 network."
    return ""


def _routed(family: int) -> bool:
    """Whether this host knows a way to the public network of an address family. Nothing is sent."""
    # Addresses that are set aside for documentation.
    aim = "2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1"
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((aim, 9))
    except OSError:
        return False
    return True


def first_line(error: BaseException) -> str:
    """The first line of a PostgreSQL error with its detail, without the statement."""
    diagnostics = getattr(error, "diag", None)
    primary = getattr(diagnostics, "message_primary", None)
    if primary:
        detail = getattr(diagnostics, "message_detail", None)
        return f"{primary} ({detail})" if detail else str(primary)
    return str(error).strip().split("\n")[0]


def explain(error: BaseException, doing: str) -> TargetError:
    """The TargetError that tells an operator what a PostgreSQL error means."""
    code = getattr(error, "pgcode", None)
    text = first_line(error)
    hints = {
        "53100": "The target's disk is full: free space or enlarge it, then run again; what is copied stays copied.",
        "53200": "PostgreSQL ran out of memory.",
        "53300": "PostgreSQL has no free connection: lower the number of workers or raise max_connections.",
        "42501": "The role lacks a privilege: it must own the database or have CREATE on it.",
        "57014": "PostgreSQL cancelled the statement.",
        "25006": "The target is read-only: is it a replica?",
    }
    # Without a code it did not come from the server; libpq's words then need not name it: "could not receive data from server".
    broke = psycopg2 is not None and isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError))
    if code is None and (broke or "connection" in text.lower() or "server closed" in text.lower()):
        return TargetError(
            f"{doing}: the connection to PostgreSQL broke ({text}). Run again; it goes on where it stopped."
        )
    return TargetError(f"{doing}: {text}. {hints.get(code or '', '')}".rstrip())


def quote(name: str) -> str:
    """A name quoted for PostgreSQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as a string of SQL, whatever the server takes backslashes for."""
    doubled = text.replace("'", "''")
    return " E'" + doubled.replace("\\", "\\\\") + "'" if "\\" in text else f"'{doubled}'"


def qualified(schema: str, name: str) -> str:
    """A quoted name with its schema."""
    return f"{quote(schema)}.{quote(name)}"
