# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying changes back for days, whatever becomes of either database meanwhile."""

from __future__ import annotations

from typing import Any, Callable


class Reverser:
    """Replays the outbox into SQLite until it is told to stop. config: what service.load returns."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    def run(self, stop: Callable[[], bool]) -> None:
        """Replay until ``stop()``. Raises CutoverError for what only the operator can settle."""
        raise NotImplementedError
