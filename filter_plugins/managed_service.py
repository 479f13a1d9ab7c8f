# SPDX-License-Identifier: GPL-3.0-or-later
"""What the answers of managed platforms' HTTP interfaces mean: Supabase's Management API, Railway's GraphQL API.

The messages never show a request's body or a variable's value: both hold secrets.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from ansible.errors import AnsibleFilterError

_NAMES = {"supabase": "Supabase", "railway": "Railway"}
_TOKENS = {"supabase": "SUPABASE_ACCESS_TOKEN", "railway": "RAILWAY_TOKEN"}
#: Seconds between tries where the platform names none, and at most where it does.
_FIRST_WAIT, _LONGEST_WAIT = 2, 120
#: States of a Supabase project that lead to no database by themselves.
_STUCK = {
    "INACTIVE": "it is paused: restore it in the dashboard",
    "PAUSING": "it is being paused",
    "PAUSE_FAILED": "it is paused: restore it in the dashboard",
    "REMOVED": "it was removed",
    "GOING_DOWN": "it is going down",
    "INIT_FAILED": "its creation failed: see the dashboard",
    "RESTORE_FAILED": "its restore failed: see the dashboard",
    "UNKNOWN": "its state is unknown: see the dashboard",
}


def wait_seconds(answer: Mapping[str, Any], attempt: int, repeat: bool = True) -> int:
    """Seconds after which a request is worth another try; 0 means that it is not.

    repeat: whether the request may be sent twice. One that creates something is sent again only when it was turned away.
    """
    status = int(answer.get("status", -1))
    if status == 429:
        told = str(answer.get("retry_after", ""))
        return (
            max(1, min(int(told), _LONGEST_WAIT)) if told.isdigit() else min(int(_FIRST_WAIT**attempt), _LONGEST_WAIT)
        )
    if repeat and (status >= 500 or status == -1):
        return min(int(_FIRST_WAIT**attempt), _LONGEST_WAIT)
    return 0


def problem(answer: Mapping[str, Any], service: str, doing: str, variable: str = "managed_service_token") -> str:
    """What is wrong with an answer, in one message; '' when nothing is."""
    name, status = _NAMES[service], int(answer.get("status", -1))
    start = f"{name}, {doing}: "
    secret = f"{variable} (or the environment variable {_TOKENS[service]})"
    said = _said(answer)
    if status == -1:
        return f"{start}{urlsplit(str(answer.get('url', ''))).netloc or 'the address'} does not answer ({answer.get('msg', '')})."
    if status == 401 or (status == 200 and re.search(r"(?i)not authori[sz]ed|unauthenticated", said)):
        return f"{start}the token is refused. Check {secret}: it may have expired, or belong to another account or project."
    if status == 403:
        return f"{start}the token may not do this{_tail(said)} Give {secret} of somebody who may."
    if status == 404:
        return f"{start}there is no such thing{_tail(said)} Check the project, organisation and service that are named."
    if status == 429:
        return f"{start}too many requests, also after waiting as told. Run again in some minutes."
    if status >= 500:
        return (
            f"{start}the platform has a fault of its own (HTTP {status}){_tail(said)} Run again; see its status page."
        )
    if status >= 400:
        return f"{start}it is refused (HTTP {status}){_tail(said)}"
    # Who only says "done" may say it with an empty body.
    if not isinstance(answer.get("json"), (dict, list)) and str(answer.get("content", "")).strip():
        return f"{start}the answer is no JSON (HTTP {status}). Is managed_service_api_url right?"
    if said:
        return f"{start}it is refused{_tail(said)}"
    return ""


def _tail(said: str) -> str:
    return f": {said.rstrip('.')}." if said else "."


def _public(said: str) -> str:
    """A platform's words without what it repeats of the request: values, URLs with a login."""
    said = re.sub(r"(?s)\bgot invalid value.*", "got an invalid value", said)
    return re.sub(r"(?i)\b(?!https?://[^\s@]*(?:\s|$))[a-z][a-z0-9+.-]*://\S+", "(a URL)", said)[:300]


def _said(answer: Mapping[str, Any]) -> str:
    """The platform's own words of what is wrong; '' where it has none."""
    body = answer.get("json")
    if not isinstance(body, Mapping):
        return ""
    errors = body.get("errors")
    if isinstance(errors, Sequence) and errors:
        return _public("; ".join(str(one.get("message", "")) for one in errors if isinstance(one, Mapping)))
    if int(answer.get("status", -1)) >= 400:
        message = body.get("message", body.get("error", ""))
        return _public(" ".join(map(str, message)) if isinstance(message, list) else str(message))
    return ""


# ---------------------------------------------------------------- Supabase


def supabase_project(projects: Sequence[Mapping[str, Any]], name: str, organization: str = "") -> dict[str, Any]:
    """The project of a name (or reference) among all; {} where there is none. Raises AnsibleFilterError for several."""
    found = [
        dict(one)
        for one in projects
        if name in (one.get("name"), one.get("ref"), one.get("id"))
        and (not organization or organization in (one.get("organization_id"), one.get("organization_slug")))
        and one.get("status") not in ("REMOVED", "GOING_DOWN")
    ]
    if len(found) > 1:
        refs = ", ".join(sorted(str(_ref(one)) for one in found))
        raise AnsibleFilterError(
            f"Supabase has {len(found)} projects named {name} ({refs}): name the reference as managed_service_project, or the "
            "organisation as managed_service_organization. Nothing was changed."
        )
    return {**found[0], "ref": _ref(found[0])} if found else {}


def _ref(project: Mapping[str, Any]) -> Any:
    return project.get("ref") or project.get("id")


def supabase_stuck(project: Mapping[str, Any]) -> str:
    """Why a project does not become healthy by itself; '' where waiting helps, or nothing is wrong."""
    return _STUCK.get(str(project.get("status")), "")


def supabase_place(project: Mapping[str, Any], connection: str, poolers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Host, port, user and database: straight to PostgreSQL, or through the pooler in session mode (IPv4)."""
    ref = _ref(project)
    if connection == "session":
        primary = [one for one in poolers if one.get("database_type", "PRIMARY") == "PRIMARY" and one.get("db_host")]
        if not primary:
            raise AnsibleFilterError(
                f"Supabase names no pooler for project {ref}: use managed_service_connection: direct."
            )
        # The port tells the mode: 6543 shares sessions, 5432 does not.
        return {
            "host": primary[0]["db_host"],
            "port": 5432,
            "user": f"postgres.{ref}",
            "database": primary[0].get("db_name", "postgres"),
        }
    host = (project.get("database") or {}).get("host") or f"db.{ref}.supabase.co"
    return {"host": host, "port": 5432, "user": "postgres", "database": "postgres"}


def supabase_secret_stands(secrets: Sequence[Mapping[str, Any]], name: str, value: str) -> bool:
    """Whether a secret has this value already: the platform shows its SHA-256 digest only."""
    digest = hashlib.sha256(value.encode()).hexdigest()
    return any(one.get("name") == name and one.get("value") in (value, digest) for one in secrets)


# ---------------------------------------------------------------- Railway


def railway_named(project: Mapping[str, Any], kind: str, name: str) -> str:
    """The identifier of a project's service or environment by its name or identifier; '' where there is none."""
    edges = (project.get(kind) or {}).get("edges") or []
    nodes = [edge["node"] for edge in edges]
    return next((str(node["id"]) for node in nodes if name in (node["id"], node["name"])), "")


def railway_names(project: Mapping[str, Any], kind: str) -> str:
    """The names of a project's services or environments, for a message."""
    return ", ".join(sorted(edge["node"]["name"] for edge in (project.get(kind) or {}).get("edges") or [])) or "none"


def railway_public_url(variables: Mapping[str, Any], sslmode: str = "require") -> str:
    """The URL of the database service from outside the platform; '' while it has none."""
    url = str(variables.get("DATABASE_PUBLIC_URL") or "")
    # Before the TCP proxy has a port its parts are empty.
    if not url or not urlsplit(url).hostname or urlsplit(url).netloc.endswith(":"):
        return ""
    return url if "sslmode=" in url else f"{url}{'&' if '?' in url else '?'}sslmode={quote(sslmode)}"


def at_private_place(url: str, private: str) -> str:
    """A URL with the host and port of another one: the application within the platform goes its private way."""
    there, parts = urlsplit(private), urlsplit(url)
    if not there.hostname:
        raise AnsibleFilterError("Railway's database service has no DATABASE_URL, so its private address is not known.")
    host = f"[{there.hostname}]" if ":" in there.hostname else there.hostname
    login = parts.netloc.rpartition("@")[0]
    # TLS was for the way through the internet; whatever else the application wants of its connection stays.
    query = "&".join(part for part in parts.query.split("&") if part and not part.lower().startswith("ssl"))
    return urlunsplit(parts._replace(netloc=f"{login}@{host}:{there.port or 5432}", query=query))


# ---------------------------------------------------------------- the application's environment file


def env_value(text: str, name: str) -> str:
    """The value of a variable in an environment file, without its quotes. Raises AnsibleFilterError where it has none."""
    found = re.findall(rf"^[ \t]*(?:export[ \t]+)?{re.escape(name)}=(.*)$", text, re.M)
    if not found:
        raise AnsibleFilterError(f"the environment file has no line {name}=…")
    value = found[-1].strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    return str(value)


def is_place(url: str, target: str) -> bool:
    """Whether two URLs lead to the same server: many databases may share a host and differ by the port."""
    try:
        one, other = ((unquote(part.hostname or ""), part.port or 5432) for part in map(urlsplit, (url, target)))
    except ValueError:
        return False
    return one == other


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        return {
            "managed_service_wait": wait_seconds,
            "managed_service_problem": problem,
            "supabase_project": supabase_project,
            "supabase_stuck": supabase_stuck,
            "supabase_place": supabase_place,
            "supabase_secret_stands": supabase_secret_stands,
            "railway_named": railway_named,
            "railway_names": railway_names,
            "railway_public_url": railway_public_url,
            "railway_private": at_private_place,
            "env_value": env_value,
            "database_url_leads_to": is_place,
        }
