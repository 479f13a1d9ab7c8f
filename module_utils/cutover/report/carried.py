# SPDX-License-Identifier: GPL-3.0-or-later
"""What PostgreSQL gets besides rows, counted from the plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def carried(plan: Mapping[str, Any]) -> dict[str, int]:
    """The number of objects by kind; empty where the application's own migrations made the tables."""
    tables = plan.get("tables")
    if plan.get("mode") == "existing" or not isinstance(tables, list):
        return {}
    known = [table for table in tables if isinstance(table, Mapping)]
    columns = [column for table in known for column in _list(table, "columns") if isinstance(column, Mapping)]
    return {
        "primary_keys": sum(1 for table in known if table.get("primary_key")),
        "foreign_keys": sum(len(_list(table, "foreign_keys")) for table in known),
        "indexes": sum(len(_list(table, "indexes")) for table in known),
        "checks": sum(len(_list(table, "checks")) for table in known),
        "defaults": sum(1 for column in columns if column.get("default") is not None),
        "identities": sum(1 for column in columns if column.get("identity")),
        "generated_columns": sum(1 for column in columns if column.get("generated")),
        "views": len(_list(plan, "views")),
    }


def _list(holder: Mapping[str, Any], key: str) -> list[Any]:
    found = holder.get(key)
    return list(found) if isinstance(found, (list, tuple)) else []
