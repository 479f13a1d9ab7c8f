# SPDX-License-Identifier: GPL-3.0-or-later
"""How many rows a scale means."""

from __future__ import annotations

from dataclasses import dataclass

SMALLEST, LARGEST = 0.01, 10.0
# Measured at scale 1; the sizes of rows do not depend on the scale.
BYTES_AT_SCALE_1 = 540_000_000


@dataclass(frozen=True)
class Counts:
    """Rows to make where the number is chosen; memberships, chunks and tag links follow from them."""

    users: int
    sessions: int
    workspaces: int
    documents: int
    messages: int
    attachments: int
    tags: int
    orders: int
    events: int


def counts_for(scale: float) -> Counts:
    """Counts for a scale from 0.01 to 10; 1 is about 100,000 rows."""
    if not SMALLEST <= scale <= LARGEST:
        raise ValueError(f"the scale is a number from {SMALLEST} to {LARGEST:g}, not {scale:g}")

    def rows(at_scale_1: int, least: int) -> int:
        return max(least, round(at_scale_1 * scale))

    return Counts(
        users=rows(3000, 30),
        sessions=rows(6000, 60),
        workspaces=rows(200, 8),
        documents=rows(4000, 40),
        messages=rows(25_000, 250),
        attachments=rows(1500, 15),
        tags=rows(200, 20),
        orders=rows(5000, 60),
        events=rows(12_000, 200),
    )
