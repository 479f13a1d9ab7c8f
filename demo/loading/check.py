# SPDX-License-Identifier: GPL-3.0-or-later
"""Afterwards: is every write that was acknowledged still there?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .changes import ANY_RUN, pattern_of, version_in
from .http import Answer, Pool, RequestFailed

WORKERS = 8
# When the application has given no usable answer at all for this long, what is left counts as unknown.
PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class _Write:
    """One thing to ask for: what it is called, where it is, and whether an answer shows that it is lost."""

    name: str
    path: str
    lost: Callable[[Answer], bool]


async def check_writes(
    pool: Pool, acknowledged: list[str], documents: dict[int, int] | None = None, run: str = ""
) -> dict[str, Any]:
    """Ask for each write id, and for the version of each document that the run of that name changed.

    Not found, or an older version, is a lost write; no usable answer within the patience is unknown.
    """
    waiting = [_message(write_id) for write_id in reversed(acknowledged)]
    waiting += [_document(run, document, version) for document, version in (documents or {}).items()]
    asked = len(waiting)
    lost: list[str] = []
    unknown: list[str] = []
    answered = time.monotonic()

    async def work() -> None:
        nonlocal answered
        while waiting:
            write = waiting.pop()
            answer = await _ask(pool, write.path)
            while answer.status not in (200, 404) and time.monotonic() - answered < PATIENCE_SECONDS:
                await asyncio.sleep(PAUSE_SECONDS)
                answer = await _ask(pool, write.path)
            if answer.status in (200, 404):
                answered = time.monotonic()
            if answer.status not in (200, 404):
                unknown.append(write.name)
            elif write.lost(answer):
                lost.append(write.name)

    await asyncio.gather(*(work() for _ in range(WORKERS)))
    await pool.close()
    return {
        "acknowledged": asked,
        "present": asked - len(lost) - len(unknown),
        "lost": sorted(lost),
        "unknown": sorted(unknown),
    }


def _message(write_id: str) -> _Write:
    return _Write(write_id, f"/writes/{write_id}", lambda answer: answer.status == 404)


def _document(run: str, document: int, version: int) -> _Write:
    pattern = pattern_of(run)

    def lost(answer: Answer) -> bool:
        written = ANY_RUN.search(answer.body)
        # A later run may have changed the document again.
        changed_since = written is not None and written.group(1) != run.encode()
        return not changed_since and version_in(pattern, answer.body) < version

    return _Write(f"document {document}, version {version}", f"/documents/{document}", lost)


async def _ask(pool: Pool, path: str) -> Answer:
    try:
        return await pool.request("GET", path)
    except RequestFailed:
        return Answer(0, b"")
