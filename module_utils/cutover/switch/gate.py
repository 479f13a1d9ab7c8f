# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the critical section may begin, and how long it would hold the application."""

from __future__ import annotations

from typing import Any

from .config import Config


def check(config: Config, direction: str = "forward") -> dict[str, Any]:
    """{refused: [what stands in the way], predicted_hold_ms, waiting: changes}; changes nothing."""
    raise NotImplementedError
