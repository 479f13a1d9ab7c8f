# SPDX-License-Identifier: GPL-3.0-or-later
"""The way from SQLite to PostgreSQL."""

from __future__ import annotations

from typing import Any

from .config import Config


def run(config: Config) -> dict[str, Any]:
    """Switch the application to PostgreSQL.

    Returns {direction, attempt, hold_ms, waited_ms, drained, drain_ms, verify_ms, fence_ms, open_ms, route_ms, attempts,
    off: why earlier attempts were called off, verified: what ``checksum.verify`` returns, or None}.
    Raises CutoverError; the application is on SQLite then, unless the message says that PostgreSQL was decided.
    """
    raise NotImplementedError
