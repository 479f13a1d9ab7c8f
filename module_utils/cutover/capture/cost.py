# SPDX-License-Identifier: GPL-3.0-or-later
"""What the triggers cost the application, measured on a scratch copy."""

from __future__ import annotations

from typing import Any

from ..plan.model import Plan


def measure(path: str, plan: Plan, folder: str | None = None, seconds: float = 2.0) -> dict[str, Any]:
    """Time single-row writes with and without the triggers, on a sample of the source in a scratch file.

    folder: where the scratch file goes, removed afterwards. seconds: about how long it may take. Returns {table,
    seconds_without, seconds_with, cost_seconds, share}: seconds a statement, and cost/without.
    """
    raise NotImplementedError
