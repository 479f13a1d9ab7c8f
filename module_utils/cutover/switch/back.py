# SPDX-License-Identifier: GPL-3.0-or-later
"""The way from PostgreSQL back to SQLite."""

from __future__ import annotations

from typing import Any

from .config import Config


def run(config: Config) -> dict[str, Any]:
    """Take the application back to SQLite with every row that was written since.

    Returns {direction, attempt, hold_ms, waited_ms, drained, drain_ms, verify_ms, close_ms, open_ms, route_ms, attempts,
    off}. Raises CutoverError; the application is on PostgreSQL then, unless the message says that SQLite was decided.
    """
    raise NotImplementedError
