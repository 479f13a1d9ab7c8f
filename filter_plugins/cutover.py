# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that put results of the engine into words and figures for the operator."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

_SWITCHED = (
    "direction",
    "attempt",
    "attempts",
    "called_off",
    "hold_ms",
    "waited_ms",
    "drained",
    "drain_ms",
    "verify_ms",
    "fence_ms",
    "close_ms",
    "open_ms",
    "route_ms",
)


def differences(verified: dict[str, Any]) -> str:
    """One message for a comparison that failed: which tables, and the first places."""
    bad = [table for table in verified["tables"] if _count(table)]
    tables = ", ".join(f"{table['name']} ({_count(table)} rows)" for table in bad[:5]) or "no table was compared"
    places = "; ".join(
        f"{d['table']} {d['key']}"
        + (
            f" column {d['column']}: {d['source']} → {d['target']}"
            if d["column"]
            else f": source {d['source']}, target {d['target']}"
        )
        for d in verified["differences"][:3]
    )
    return f"Source and target differ in {tables}. {places}".rstrip()


def writes(verified: dict[str, Any]) -> list[dict[str, Any]]:
    """What PostgreSQL has more, less or otherwise than the frozen source: by table inserted, updated, deleted."""
    return [
        {
            "table": table["name"],
            "inserted": table["rows_only_target"],
            "updated": table["rows_different"],
            "deleted": table["rows_only_source"],
        }
        for table in verified["tables"]
        if _count(table)
    ]


def writes_text(counted: list[dict[str, Any]]) -> str:
    """The counted writes in one line."""
    return ", ".join(
        f"{w['table']}: {w['inserted']} inserted, {w['updated']} updated, {w['deleted']} deleted" for w in counted
    )


def switched(result: dict[str, Any]) -> dict[str, Any]:
    """The figures of a critical section, for the journal and the report."""
    return {name: result[name] for name in _SWITCHED if name in result}


def switched_text(result: dict[str, Any]) -> str:
    """The figures of a critical section in one line."""
    if "hold_ms" not in result:
        return "An earlier attempt turned out as decided; it is finished."
    to = "PostgreSQL" if result["direction"] == "forward" else "SQLite"
    attempts = f" in attempt {result['attempts']}" if result.get("attempts", 1) > 1 else ""
    return (
        f"The application is on {to}{attempts}. Requests were held for {result['hold_ms']:.1f} ms: "
        f"{result['waited_ms']:.1f} ms for those under way, {result['drain_ms']:.1f} ms for the last "
        f"{result['drained']} changes."
    )


def redact(url: str) -> str:
    """A URL without its password, as the engine redacts it."""
    # The engine is a folder beside this one on the controller; Ansible does not put it on the path of plugins.
    engine = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "module_utils")
    if engine not in sys.path:
        sys.path.append(engine)
    from cutover.target import connect

    text: str = connect.redact(url)
    return text


def _count(table: dict[str, Any]) -> int:
    return int(table["rows_different"]) + int(table["rows_only_source"]) + int(table["rows_only_target"])


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        return {
            "cutover_differences": differences,
            "cutover_writes": writes,
            "cutover_writes_text": writes_text,
            "cutover_switched": switched,
            "cutover_switched_text": switched_text,
            "cutover_redact": redact,
        }
