# SPDX-License-Identifier: GPL-3.0-or-later
"""How many server connections PgBouncer takes, and whether the server has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def pgbouncer_instances(host: str, poolers: Sequence[str], applications: Sequence[str], each: Any = 1) -> int:
    """How many instances of the application connect to the PgBouncer on this host.

    An application's host that has a PgBouncer of its own uses that one; the others use the first that is not on such a host,
    or the first of all. A further one stands by for them, and counts as if they used it.
    """
    others = [name for name in applications if name not in poolers]
    apart = [name for name in poolers if name not in applications]
    serves_others = host in apart if apart else bool(poolers) and host == poolers[0]
    count = (host in applications) + (len(others) if serves_others else 0)
    return max(1, count) * int(each)


def pgbouncer_fit(
    pools: Mapping[str, int], server: Mapping[str, Any], reserved: Any, what: str = "the server"
) -> dict[str, Any]:
    """Whether the server carries all pools: {fits, text}, with the arithmetic in words.

    pools: by PgBouncer host the connections of the application at most.
    server: max_connections, kept (for superusers), app_limit and database_limit (-1: none).
    reserved: connections for everything else: the engine, look-ups by people.
    """
    most, kept, others = int(server["max_connections"]), int(server["kept"]), int(reserved)
    application = sum(pools.values())
    lookups = len(pools)
    needed = application + lookups + others
    each = " + ".join(f"{size} ({host})" for host, size in pools.items())
    sums = (
        f"{each} for the application, {lookups} for PgBouncer's look-ups and {others} for the migration and "
        f"administration make {needed}"
    )
    problems = []
    if needed > most - kept:
        problems.append(f"{what} gives {most - kept} (max_connections {most}, {kept} kept for superusers)")
    if 0 <= int(server["database_limit"]) < needed:
        problems.append(f"the database is limited to {server['database_limit']}")
    if 0 <= int(server["app_limit"]) < application:
        problems.append(f"the application's role is limited to {server['app_limit']}, and {application} are its own")
    return {"fits": not problems, "text": f"{sums}; {' and '.join(problems)}" if problems else sums}


def port_taken(
    listeners: Sequence[Mapping[str, Any]], port: Any, addresses: Sequence[str], own: str = "", pid: Any = 0
) -> str:
    """Who listens already where a server is to listen: 'name (pid n) on address', or nothing.

    own, pid: the server's own name; with a pid, only that process of the name is the server itself. A process that
    cannot be seen is nobody: the server finds out when it starts.
    """
    anywhere = {"*", "0.0.0.0", "::"}  # noqa: S104 - compared with, not bound
    wanted = {"127.0.0.1" if name == "localhost" else str(name) for name in addresses}
    for listener in listeners:
        where = str(listener["address"])
        if int(listener["port"]) != int(port) or not (wanted & anywhere or where in anywhere or where in wanted):
            continue
        if not listener["name"] or not int(listener["pid"] or 0):
            # In a container root may not see whose it is; it may be the server itself.
            continue
        if str(listener["name"]) == own and (not int(pid or 0) or int(listener["pid"]) == int(pid)):
            continue
        return f"{listener['name']} (pid {listener['pid']}) on {where}"
    return ""


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Ansible asks for this."""
        return {
            "pgbouncer_fit": pgbouncer_fit,
            "pgbouncer_instances": pgbouncer_instances,
            "port_taken": port_taken,
        }
