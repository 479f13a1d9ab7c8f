# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL URLs: taken apart and put together with every part percent-encoded.

Ansible's own `urlencode` leaves `/` alone and its counterpart turns `+` into a space;
either would change a password.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from ansible.errors import AnsibleFilterError

SCHEMES = ("postgresql", "postgres")


def database_url_parse(url: str) -> dict[str, Any]:
    """Take a URL apart: scheme, host, port, database, user, password (decoded), options (of the query).

    The messages never show the URL, because it holds a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 5432
    except ValueError:
        # Without the cause: its message quotes a part of the password, and Ansible prints it.
        raise AnsibleFilterError(
            "the database URL has no valid host and port. A `/`, `@` or `:` in the password must be "
            "percent-encoded (%2F, %40, %3A)"
        ) from None
    if parts.scheme.split("+", 1)[0] not in SCHEMES:
        raise AnsibleFilterError(
            "the database URL must look like postgresql://user:password@host:port/database, "
            f"not start with {parts.scheme + ':' if parts.scheme else 'something else'}"
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    host = unquote(parts.hostname or options.pop("host", ""))
    database = unquote(parts.path.lstrip("/"))
    user = unquote(parts.username or "")
    if "," in host:
        raise AnsibleFilterError("the database URL names several hosts; name the one that takes writes")
    missing = [name for name, value in (("host", host), ("database", database), ("user", user)) if not value]
    if missing:
        raise AnsibleFilterError(
            f"the database URL names no {' and no '.join(missing)}: it must look like "
            "postgresql://user:password@host:port/database. A `/`, `@` or `:` in the password must be "
            "percent-encoded (%2F, %40, %3A)"
        )
    return {
        "scheme": parts.scheme,
        "host": host,
        "port": int(options.pop("port", port)),
        "database": database,
        "user": user,
        "password": unquote(parts.password or ""),
        "options": options,
    }


def database_url_build(
    parts: Mapping[str, Any], options: Mapping[str, Any] | None = None, scheme: str = "postgresql"
) -> str:
    """Put a URL together from host, port, database, user and password (all as they are, not encoded)."""
    options = dict(options or {})
    host = str(parts["host"])
    if host.startswith("/"):
        # A socket directory cannot stand where a host name does.
        options["host"], host = host, ""
    elif ":" in host:
        host = f"[{host}]"
    password = str(parts.get("password") or "")
    login = quote(str(parts["user"]), safe="") + (f":{quote(password, safe='')}" if password else "")
    url = f"{scheme}://{login}@{host}:{int(parts['port'])}/{quote(str(parts['database']), safe='')}"
    query = urlencode(options, quote_via=quote, safe="")
    return f"{url}?{query}" if query else url


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Ansible asks for this."""
        return {"database_url_parse": database_url_parse, "database_url_build": database_url_build}
