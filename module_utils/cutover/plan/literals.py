# SPDX-License-Identifier: GPL-3.0-or-later
"""String literals of PostgreSQL."""

from __future__ import annotations


def literal(text: str) -> str:
    """A string literal that PostgreSQL reads alike whatever standard_conforming_strings says."""
    escaped = text.replace("'", "''")
    return "E'" + escaped.replace("\\", "\\\\") + "'" if "\\" in text else f"'{escaped}'"


def quote(name: str) -> str:
    """An identifier quoted for PostgreSQL."""
    return '"' + name.replace('"', '""') + '"'
