# SPDX-License-Identifier: GPL-3.0-or-later
"""The named steps of the critical section. Tests replace ``reached`` to end or stop the process at one of them."""

from __future__ import annotations

#: In the order in which they are passed, both ways. Between two of them lies at most one thing that lasts.
FORWARD = (
    "announced",  # nothing is held yet
    "held",  # the proxies hold
    "idle",  # no request is in flight
    "locked",  # SQLite's write lock is ours
    "drained",  # PostgreSQL has the last changes
    "fencing",  # the fence is written, not committed
    "fenced",  # the decision is durable
    "opened",  # PostgreSQL lets the application write
    "routed",  # the proxies send to green
    "released",  # requests flow
    "journaled",
)
BACK = (
    "announced",
    "held",
    "idle",
    "locked",  # PostgreSQL's tables and SQLite are ours
    "replayed",  # SQLite has the last changes, still fenced
    "closing",  # PostgreSQL is closed to writes, not committed
    "closed",  # the decision is durable
    "lifted",  # SQLite lets the application write
    "routed",
    "released",
    "journaled",
)


def reached(name: str) -> None:
    """Called when a step is done; does nothing."""
