# SPDX-License-Identifier: GPL-3.0-or-later
"""Which sources a fleet has, and what two of them must not share."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from ..errors import CutoverError

NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
#: Settings that servers of two tenants in one database must not share: what they are set up with there.
_AUTH = ("pgbouncer_auth_user", "pgbouncer_auth_schema")
_RULE = "it must start with a letter and hold at most 40 of a-z, 0-9, - and _"
#: Keys of a tenant that are the fleet's own: the host of its source, and the hosts that its run sees.
HOST, HOSTS = "cutover_tenant_host", "cutover_tenant_hosts"
#: Variables of the fleet that no tenant's run must see.
OWN = re.compile(r"(fleet_|cutover_tenant).*")
#: Playbooks that set up servers, not only a database.
SERVERS = frozenset({"cutover.yml", "provision.yml"})
#: Playbooks that know of the target no more than a URL where the inventory names no host of it and no application.
ALONE = frozenset({"preflight.yml", "schema.yml", "sync.yml", "verify.yml", "finalize.yml"})
#: Stages after which a playbook has nothing left to do.
_FINISHED = {
    "cutover.yml": frozenset({"released", "finalizing", "finalized"}),
    "migrate.yml": frozenset({"migrated"}),
    "finalize.yml": frozenset({"finalized"}),
}


@dataclass(frozen=True)
class Tenant:
    """One source. variables: what the operator wrote for it. settings: what is compared, all templates resolved."""

    name: str
    host: str
    variables: Mapping[str, Any] = field(default_factory=dict, repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    #: The hosts that its run sees; empty means all of the inventory.
    hosts: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The SQLite file."""
        return str(self.settings.get("cutover_source_path") or self.variables.get("cutover_source_path") or "")


def refuse(problems: Iterable[str]) -> None:
    """Raise CutoverError with all problems in one message, if there is one."""
    found = list(dict.fromkeys(problems))
    if found:
        raise CutoverError(" ".join(found) + " Nothing was started, nothing was changed.")


def named(path: str, pattern: str) -> str:
    """The name of a file that was found: the folder below the pattern's first wildcard, else the file without its ending.

    ``/srv/*/data/app.sqlite`` names by the folder, ``/srv/tenants/*.sqlite`` by the file.
    """
    parts, wild = path.split("/"), pattern.split("/")
    at = next((n for n, part in enumerate(wild) if re.search(r"[*?\[]", part)), len(wild) - 1)
    part = parts[at] if at < len(parts) else parts[-1]
    return part if at < len(parts) - 1 else part.split(".")[0]


def from_dict(given: Any, hosts: list[str]) -> list[Tenant]:
    """Tenants as ``cutover_tenants`` describes them. hosts: those of the group source. Raises CutoverError."""
    if not isinstance(given, Mapping):
        raise CutoverError(
            "cutover_tenants must be a dictionary of names, each with variables: {acme: {cutover_source_path: /srv/acme.sqlite}}."
            " Nothing was started, nothing was changed."
        )
    problems, made = [], []
    for name, variables in given.items():
        if not isinstance(variables, Mapping):
            problems.append(f"cutover_tenants.{name} must be a dictionary of variables.")
            continue
        host = str(variables.get(HOST) or (hosts[0] if len(hosts) == 1 else ""))
        if host not in hosts:
            said = f"names {host}, which is not in it" if host else "does not say which is its own"
            problems.append(
                f"cutover_tenants.{name}: the group source has {len(hosts)} hosts ({', '.join(hosts)}), and the tenant {said}. "
                f"Set {HOST} to one of them."
            )
            continue
        kept = {key: value for key, value in variables.items() if key not in (HOST, HOSTS)}
        made.append(Tenant(str(name), host, kept, hosts=_seen(variables.get(HOSTS), host)))
    refuse(problems)
    return made


def _seen(given: Any, host: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys([host, *map(str, given)])) if isinstance(given, (list, tuple)) and given else ()


def from_files(found: Mapping[str, Iterable[str]], pattern: str) -> list[Tenant]:
    """Tenants by the files that a pattern matched, {host: [path, …]}."""
    return [
        Tenant(named(path, pattern), host, {"cutover_source_path": path})
        for host, paths in found.items()
        for path in sorted(paths)
    ]


def from_hosts(hosts: Iterable[str]) -> list[Tenant]:
    """A tenant for each host, which has its variables in the inventory."""
    return [Tenant(host, host) for host in hosts]


def listed(given: Any) -> list[str]:
    """Names as a list, or as one text with commas, which is easier to give on a command line."""
    parts = given.split(",") if isinstance(given, str) else given or []
    return [str(part).strip() for part in parts if str(part).strip()]


def check_names(tenants: list[Tenant]) -> None:
    """Raise CutoverError for a name that is none, or that two have."""
    problems = []
    first: dict[str, Tenant] = {}
    for tenant in tenants:
        if not NAME.fullmatch(tenant.name):
            problems.append(
                f"A tenant's name is {tenant.name!r} (host {tenant.host}{', ' + tenant.path if tenant.path else ''}); {_RULE}, "
                "because folders, its database and its roles are named after it. Name it in cutover_tenants: "
                f"{{name: {{{HOST}: {tenant.host}, cutover_source_path: …}}}}."
            )
        other = first.setdefault(tenant.name, tenant)
        if other is not tenant:
            problems.append(
                f"Two tenants have the name {tenant.name}: {other.path or other.host} on {other.host} and "
                f"{tenant.path or tenant.host} on {tenant.host}. Name them in cutover_tenants."
            )
    refuse(problems)


def chosen(tenants: list[Tenant], only: list[str], silent: list[str]) -> list[Tenant]:
    """Those that ``fleet_only`` names, or all. Raises CutoverError for a name that is not there, and for none at all.

    silent: hosts that were asked for their files and did not answer.
    """
    known = {tenant.name for tenant in tenants}
    unheard = (
        f" Not heard of: the files of {', '.join(silent)}, which did not answer; bring it back first." if silent else ""
    )
    refuse(
        f"fleet_only names {name}, and there is no such tenant; there are {', '.join(sorted(known)) or 'none'}.{unheard}"
        for name in only
        if name not in known
    )
    left = [tenant for tenant in tenants if not only or tenant.name in only]
    if not left:
        refuse(
            [
                "No tenants were found: none in cutover_tenants, no file for cutover_tenants_path, no host in the group source."
                + unheard
            ]
        )
    return left


def check_files(tenants: list[Tenant], looked: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise CutoverError for a file that is not there or no SQLite file. looked: {tenant: what its host says of the file}.

    A tenant whose host did not answer is none of this: the others do not wait for it.
    """
    problems = []
    for tenant in tenants:
        seen = looked.get(tenant.name)
        if not tenant.path:
            problems.append(
                f"Tenant {tenant.name}: cutover_source_path is not set; it names the SQLite file on {tenant.host}."
            )
        elif seen is not None and seen.get("problem"):
            problems.append(f"Tenant {tenant.name}: {tenant.path} on {tenant.host} {seen['problem']}.")
    refuse(problems)


def check_shared(tenants: list[Tenant], looked: Mapping[str, Mapping[str, Any]], playbook: str) -> None:
    """Raise CutoverError for what two tenants must not share: file, state, secrets, schema, a container or an instance of RDS;
    other servers where they are set up."""
    problems: list[str] = []
    taken: dict[tuple[Any, ...], str] = {}
    for tenant in tenants:
        for what, key, advice in _claims(tenant, looked.get(tenant.name) or {}, playbook):
            other = taken.setdefault((what, *key), tenant.name)
            if other != tenant.name:
                told = " ".join(str(part) for part in key)
                problems.append(f"Tenants {other} and {tenant.name} have the same {what} ({told}). {advice}")
    refuse([*problems, *_in_one_database(tenants, playbook)])


def _in_one_database(tenants: list[Tenant], playbook: str) -> Iterable[str]:
    """What keeps tenants from being together in a database."""
    together: dict[tuple[Any, ...], list[Tenant]] = {}
    for tenant in tenants:
        if tenant.settings.get("database"):
            together.setdefault(tuple(tenant.settings["database"]), []).append(tenant)
    for place_of, there in together.items():
        where = " ".join(str(part) for part in place_of)
        for number, tenant in enumerate(there):
            for other in there[:number]:
                yield from _beside(other, tenant, where, playbook)


def _beside(other: Tenant, tenant: Tenant, where: str, playbook: str) -> Iterable[str]:
    """Why two tenants cannot be in one database."""
    both, mine, theirs = f"Tenants {other.name} and {tenant.name}", tenant.settings, other.settings
    schema = mine.get("schema", "public")
    if not (mine.get("given") and theirs.get("given")):
        yield (
            f"{both} have the same database ({where}). What is provided gives each tenant a database with roles of its own, "
            "named after cutover_name: give each another name. Schemas of one database are for a database that is there "
            "already: cutover_provider: external, with its URL."
        )
    elif schema == theirs.get("schema", "public"):
        yield (
            f"{both} have the same database ({where}) and the same schema in it ({schema}), which holds one migration. Give "
            "each a database of its own, or a schema of its own: cutover_plan_overrides: {schema: …}."
        )
    else:
        role = mine.get("application_role")
        if role and role == theirs.get("application_role"):
            yield (
                f"{both} have the same role of the application ({role}) in one database ({where}): each would have the rights "
                "of both, and a session looks for its tables in one schema. Give each its own cutover_application_url."
            )
        for name in _AUTH if playbook in SERVERS else ():
            if mine.get(name) and mine[name] == theirs.get(name):
                yield (
                    f"{both} have the same {name} ({mine[name]}) in one database ({where}): the PgBouncer of one would get "
                    f"another password or function than it looks up by. Give each its own, or pgbouncer_auth_method: file."
                )


def _claims(tenant: Tenant, seen: Mapping[str, Any], playbook: str) -> Iterable[tuple[str, tuple[Any, ...], str]]:
    """What is a tenant's alone: (what it is, how it is told apart, what to do when it is not)."""
    each = "Give each its own, for example with {{ cutover_name }} in it."
    settings = tenant.settings
    if settings.get("cutover_name"):
        yield (
            "cutover_name",
            (settings["cutover_name"],),
            "It is the tenant's own name, unless a variable says otherwise.",
        )
    if tenant.path:
        real = str(seen.get("real") or os.path.normpath(tenant.path))
        yield "SQLite file", (tenant.host, real), "A file is one tenant."
    if settings.get("cutover_state_dir"):
        yield "cutover_state_dir", (tenant.host, settings["cutover_state_dir"]), each
    if settings.get("cutover_secrets_dir"):
        yield "cutover_secrets_dir", (settings["cutover_secrets_dir"],), each
    for what, host, value in settings.get("alone") or ():
        yield what, (host, value), each
    if playbook in SERVERS:
        for what, host, value in settings.get("servers") or ():
            yield what, (host, value), each


def place(url: str) -> tuple[Any, ...]:
    """Host, port and database of a URL; empty when it cannot be read, which the tenant's own run explains."""
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query))
        return (
            unquote(parts.hostname or options.get("host", "")),
            int(options.get("port", parts.port or 5432)),
            unquote(parts.path.lstrip("/")),
        )
    except ValueError:
        return ()


def schema(overrides: Any) -> str:
    """The schema of the application's tables, by ``cutover_plan_overrides``."""
    return str(overrides.get("schema", "public")) if isinstance(overrides, Mapping) else "public"


def user(url: str) -> str:
    """The role of a URL; empty when there is none, or when it cannot be read."""
    try:
        return unquote(urlsplit(url).username or "")
    except ValueError:
        return ""


def finished(stage: str | None, unchanged: bool, playbook: str) -> bool:
    """Whether a playbook has nothing left to do for a tenant. A migrated file that was written to since has."""
    return stage in _FINISHED.get(playbook, ()) and (playbook != "migrate.yml" or unchanged)
