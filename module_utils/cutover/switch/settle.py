# SPDX-License-Identifier: GPL-3.0-or-later
"""Finishing or taking back what an interrupted switch left, by what is durable."""

from __future__ import annotations

from .config import Config


def settle(config: Config, by: str = "settle") -> str:
    """Bring all parts to one side: "forward", "back", or "nothing" when nothing had been decided. Idempotent."""
    raise NotImplementedError
