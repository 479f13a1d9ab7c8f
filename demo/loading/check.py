# SPDX-License-Identifier: GPL-3.0-or-later
"""Afterwards: is every write that was acknowledged still there?"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from .http import Pool, RequestFailed

WORKERS = 4
# An application that restarts right now is given this long before a write counts as unknown.
PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 0.5


async def check_writes(pool: Pool, acknowledged: list[str]) -> dict[str, Any]:
    """Ask for each write id. A 404 is a lost write; no usable answer within the patience is unknown."""
    waiting = list(reversed(acknowledged))
    lost: list[str] = []
    unknown: list[str] = []
    deadline = time.monotonic() + PATIENCE_SECONDS

    async def work() -> None:
        while waiting:
            write_id = waiting.pop()
            status = await _ask(pool, write_id, deadline)
            if status == 404:
                lost.append(write_id)
            elif status != 200:
                unknown.append(write_id)

    await asyncio.gather(*(work() for _ in range(WORKERS)))
    await pool.close()
    present = len(acknowledged) - len(lost) - len(unknown)
    return {
        "acknowledged": len(acknowledged),
        "present": present,
        "lost": sorted(lost),
        "unknown": sorted(unknown),
    }


async def _ask(pool: Pool, write_id: str, deadline: float) -> int:
    while True:
        try:
            status, _ = await pool.request("GET", f"/writes/{write_id}")
        except RequestFailed:
            status = 0
        if status in (200, 404) or time.monotonic() > deadline:
            return status
        await asyncio.sleep(PAUSE_SECONDS)
