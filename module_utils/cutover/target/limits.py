# SPDX-License-Identifier: GPL-3.0-or-later
"""How many connections role, database and server allow, how many are taken, and whether what the run needs fits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from ..errors import Finding

#: Beside the workers: the one that leads them, and the journal; online also the service and the critical section's two.
_OTHERS, _OTHERS_ONLINE = 2, 4


@dataclass(frozen=True)
class Use:
    """What the run wants of the target.

    workers: processes that copy. application: connections that the application will have, 0 where none is moved.
    application_user: its role, '' where none is moved; make_user: whether the run creates it. application_url: as given, or ''.
    extensions: what the run creates.
    """

    workers: int = 1
    online: bool = False
    application: int = 0
    application_user: str = ""
    make_user: bool = False
    application_url: str = ""
    extensions: tuple[str, ...] = ()

    @property
    def engine(self) -> int:
        """Connections that the engine has at most at the same time."""
        return self.workers + (_OTHERS_ONLINE if self.online else _OTHERS)

    @property
    def others(self) -> int:
        """Those of them that are not the workers'."""
        return self.engine - self.workers


def use_of(data: dict[str, Any]) -> Use:
    """From plain data; what is not given has its default."""
    known = {field.name for field in fields(Use)}
    given = {name: value for name, value in data.items() if name in known and value is not None}
    given["extensions"] = tuple(given.get("extensions", ()))
    return Use(**given)


@dataclass(frozen=True)
class Limits:
    """Each limit with what others have of it now; -1 is no limit. reserved: slots of max_connections for superusers and such."""

    user: str
    role: int
    role_used: int
    database: int
    database_used: int
    server: int
    server_used: int
    reserved: int


def read_limits(cursor: Any, application_user: str = "") -> Limits:
    """What the server says. Neither this run's sessions count as used nor the application's, which are part of its need."""
    cursor.execute(
        "SELECT rolname::text, CASE WHEN rolsuper THEN -1 ELSE rolconnlimit END,"
        " (SELECT CASE WHEN rolsuper THEN -1 ELSE datconnlimit END FROM pg_database WHERE datname = current_database()),"
        " current_setting('max_connections')::int,"
        " CASE WHEN rolsuper THEN 0 ELSE current_setting('superuser_reserved_connections')::int"
        # From 16 on; of it may use who is a member of pg_use_reserved_connections.
        " + coalesce(current_setting('reserved_connections', true), '0')::int END"
        " FROM pg_roles WHERE rolname = current_user"
    )
    user, role, database, server, reserved = cursor.fetchone()
    cursor.execute(
        "SELECT count(*) FILTER (WHERE usename = current_user), count(*) FILTER (WHERE datname = current_database()), count(*)"
        # A row that may not be read shows no type; counting it errs on the safe side.
        " FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND coalesce(backend_type, 'client backend') = 'client backend'"
        " AND datid IS NOT NULL AND coalesce(application_name, '') <> 'pg-cutover'"
        " AND (usename <> %s OR usename = current_user)",
        (application_user,),
    )
    role_used, database_used, server_used = cursor.fetchone()
    return Limits(user, role, role_used, database, database_used, server, server_used, reserved)


def findings(limits: Limits, needs: Use) -> Iterator[Finding]:
    """A finding for each limit that the run does not fit into, with the arithmetic."""
    engine = f"{needs.workers} workers and {needs.others} others of the engine"
    both = f"{engine}, {needs.application} of the application" if needs.application else engine
    shared = needs.application if needs.application_user == limits.user else 0
    yield from _one(
        f"role {limits.user} may have {limits.role} connections (CONNECTION LIMIT)",
        limits.role - limits.role_used,
        limits.role_used,
        needs.engine + shared,
        both if shared else engine,
        needs,
        f"ALTER ROLE {limits.user} CONNECTION LIMIT",
        limits.role >= 0,
    )
    yield from _one(
        f"the database may have {limits.database} connections (CONNECTION LIMIT)",
        limits.database - limits.database_used,
        limits.database_used,
        needs.engine + needs.application,
        both,
        needs,
        "ALTER DATABASE … CONNECTION LIMIT",
        limits.database >= 0,
    )
    kept = f", {limits.reserved} of them kept for superusers" if limits.reserved else ""
    yield from _one(
        f"the server takes {limits.server} connections (max_connections){kept}",
        limits.server - limits.reserved - limits.server_used,
        limits.server_used,
        needs.engine + needs.application,
        both,
        needs,
        "Raise max_connections (a larger plan of the platform)",
        True,
    )


def _one(
    limit: str, free: int, used: int, needed: int, parts: str, needs: Use, remedy: str, limited: bool
) -> Iterator[Finding]:
    if not limited or free >= needed:
        return
    workers = needs.workers - (needed - free)
    # What the application has is its pool: pgbouncer_pool_size_per_instance × pgbouncer_application_instances.
    smaller = f"set cutover_workers to {workers}" if workers >= 1 else "make the application's pool smaller"
    yield Finding(
        "error",
        f"{limit}, {used} are taken by others, so {max(free, 0)} are free; the run needs {needed}: {parts}. "
        f"{remedy}, or {smaller}.",
    )
