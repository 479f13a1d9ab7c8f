# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts what status.yml found into a few lines for the operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

#: The default of certificates_renew_days.
_RENEWED_BEFORE = timedelta(days=30)
_ON_POSTGRESQL = ("switching", "switched", "switched_online", "released", "leaving")


def status_lines(looked: Mapping[str, Any]) -> list[str]:
    """The lines of status.yml.

    looked: {name, path, status, holder, fence, access, applications: {host: answer}, proxies: {host: state}}, where
    fence, access and the answers are what the tasks registered, failures included; and for an online cutover replication
    and judged, the facts of the role replication, empty without one. certificates: {name: when it ends} for those that the
    controller has, and now, both as 20270228120000Z.
    """
    status, access = looked["status"], looked["access"]
    replication = looked.get("replication") or {}
    since = f" (since {status['since'][:19]}Z)" if status["since"] else ""
    # Elsewhere what comes next must not wait.
    later = f", from {status['keep_until']}" if status["keep_until"] and status["stage"] == "released" else ""
    return [
        f"{looked['name']}: {status['text']}{since}.",
        f"Next:        {status['next']}{later}.",
        f"Going back:  {_back(status, access, looked.get('judged') or {})}.",
        f"Source:      {looked['path']}: {_source(looked['fence'])}",
        f"PostgreSQL:  {_target(access, status['stage'])}",
        *([f"Replication: {replication['text']}{_heard(replication)}."] if replication.get("state") else []),
        f"Application: {_each(looked['applications'], _application)}",
        f"Proxy:       {_each(looked['proxies'], lambda state: f'maintenance {state}')}",
        *(
            [f"TLS:         {_certificates(looked['certificates'], looked['now'])}."]
            if looked.get("certificates")
            else []
        ),
        f"Run:         {_holder(looked['holder'])}",
    ]


def _back(status: Mapping[str, Any], access: Mapping[str, Any], judged: Mapping[str, Any]) -> str:
    if status["stage"] not in _ON_POSTGRESQL:
        return str(status["back"])
    if judged:
        return str(judged["text"])
    if status.get("strategy") == "online":
        return str(status["back"])
    if "in_use_since" not in access:
        return "whether it is free of loss cannot be told, because PostgreSQL does not answer"
    if access["writes"] is None:
        return "whether it is free of loss cannot be told, because PostgreSQL lost its statistics; rollback.yml counts"
    if not access["writes"]:
        return "free of loss at this moment: nothing was written to PostgreSQL since the switch"
    counts = ", ".join(f"{entry['table']}: {entry['writes']}" for entry in access["writes"])
    return f"possible, but writes made on PostgreSQL since the switch would be left behind (about {counts})"


def _heard(replication: Mapping[str, Any]) -> str:
    """How old the figures are, where the text does not say so."""
    told = not replication["running"] or replication["stale"]
    return "" if told else f" (as of {replication['age_seconds']:.0f} s ago)"


def _source(fence: Mapping[str, Any]) -> str:
    if "id" not in fence:
        return str(fence.get("msg", "was not asked"))
    return f"refuses writes (fence {fence['id']})" if fence["id"] else "takes writes"


def _target(access: Mapping[str, Any], stage: str) -> str:
    if "in_use_since" not in access:
        return str(access.get("msg", "was not asked"))
    since = access["in_use_since"]
    if not since and stage == "finalized":
        # What noted it is gone; the rights themselves stay.
        return "the application may write; the migration keeps no account of it any more"
    return f"the application may write since {since} UTC" if since else "closed to the application"


def _application(answer: Mapping[str, Any]) -> str:
    if answer.get("status", -1) < 100:
        return "does not answer"
    database = (answer.get("json") or {}).get("database")
    return f"answers {answer['status']}" + (f", database {database}" if database else "")


def _certificates(ends: Mapping[str, str], now: str) -> str:
    name, end = min(ends.items(), key=lambda entry: entry[1])
    ended = end <= now
    day = _moment(end)
    told = f"{name} {'ended' if ended else 'ends'} on {day:%Y-%m-%d}"
    if ended or day - _moment(now) < _RENEWED_BEFORE:
        return f"{told}; certificates.yml renews those that the migration's authority signs"
    return f"{name} is the first of {len(ends)} to end, on {day:%Y-%m-%d}"


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc)


def _holder(holder: Mapping[str, Any]) -> str:
    if not holder:
        return "none is at work."
    return f"run {holder['run']} of {holder['playbook']} holds the lock since {holder['since']}."


def _each(hosts: Mapping[str, Any], say: Callable[[Any], str]) -> str:
    return ", ".join(f"{host} {say(found)}" for host, found in hosts.items()) or "none in the inventory"


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        return {"cutover_status_lines": status_lines}
