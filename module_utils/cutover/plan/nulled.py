# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of the finished plan that would put NULL where PostgreSQL takes none, however the decision came about."""

from __future__ import annotations

from collections.abc import Iterable

from ..codecs.ruled import NULLING
from ..errors import Finding
from .model import PlanTable


def nulled(tables: Iterable[PlanTable]) -> list[Finding]:
    """An error for each column that must hold no NULL and has such a rule; its rows can be set aside instead."""
    found: list[Finding] = []
    for table in tables:
        for column in table.columns:
            wrong = [rule for rule in column.rules if rule in NULLING]
            if not wrong or not (column.not_null or column.name in table.primary_key):
                continue
            left = [rule for rule in column.rules if rule not in NULLING]
            entry = {"codec": column.codec, "type": column.type, "rule": None, "rules": left, "refused": "quarantine"}
            message = (
                f"{', '.join(wrong)} would put NULL into a column that must hold none; the entry sets such rows aside"
            )
            decide = {"tables": {table.name: {"columns": {column.name: entry}}}}
            found.append(Finding("error", message, table.name, column.name, decide=decide))
    return found
