# SPDX-License-Identifier: GPL-3.0-or-later
"""Lifting the target's sequences above every value that the source ever used, after its last change."""

from __future__ import annotations

from typing import Any

from ..plan.model import Plan


def set_sequences(source: Any, cursor: Any, plan: Plan) -> list[str]:
    """Lift each sequence that stands too low, never lower one; return the statements run. Fast: for the critical section."""
    raise NotImplementedError
