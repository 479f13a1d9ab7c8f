# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether going back would lose anything at this moment."""

from __future__ import annotations

import sqlite3
from typing import Any

from ..plan.model import Plan


def judge(source: sqlite3.Connection, cursor: Any, plan: Plan) -> dict[str, Any]:
    """{free_of_loss, lag: entries that wait in the outbox, why: what could not go back}. Quick enough for a status."""
    raise NotImplementedError
