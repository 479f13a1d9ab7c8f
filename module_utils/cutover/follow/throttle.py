# SPDX-License-Identifier: GPL-3.0-or-later
"""When to follow slower than one could: reasons, each with its name and its limit."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Any

#: load_per_cpu: of the source's host over one minute. free_bytes: on the disk of the source, for its WAL and the log.
#: replica_lag_bytes: WAL that a standby of the target has not taken yet, where the engine's role may see it.
LIMITS: dict[str, float] = {"load_per_cpu": 4.0, "free_bytes": 256 << 20, "replica_lag_bytes": 256 << 20}

_TARGET = """
SELECT (SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)) FROM pg_stat_replication WHERE replay_lsn IS NOT NULL),
  (SELECT count(*) FROM pg_locks AS l WHERE NOT l.granted AND pg_backend_pid() = ANY(pg_blocking_pids(l.pid)))
"""


def limits_of(given: Mapping[str, Any] | None) -> dict[str, float]:
    """The limits, those not given by default; 0 switches one off."""
    return {name: float((given or {}).get(name, default)) for name, default in LIMITS.items()}


def reason(path: str, cursor: Any, limits: Mapping[str, float]) -> str | None:
    """Why to go slower now; None when nothing says so. cursor: asks the target, None when it is not there."""
    cpus = os.cpu_count() or 1
    load = os.getloadavg()[0] / cpus
    if limits["load_per_cpu"] and load > limits["load_per_cpu"]:
        return f"load: {load:.1f} a CPU on the source's host (limit {limits['load_per_cpu']:g})"
    folder = os.path.dirname(os.path.abspath(path))
    free = shutil.disk_usage(folder).free
    if limits["free_bytes"] and free < limits["free_bytes"]:
        least = int(limits["free_bytes"]) >> 20
        return f"disk: {free >> 20} MiB free in {folder} for SQLite's WAL and the change log (limit {least} MiB)"
    if cursor is None:
        return None
    cursor.execute(_TARGET)
    behind, waiting = cursor.fetchone()
    if limits["replica_lag_bytes"] and behind is not None and behind > limits["replica_lag_bytes"]:
        most = int(limits["replica_lag_bytes"]) >> 20
        return f"replica: a standby of PostgreSQL is {int(behind) >> 20} MiB behind (limit {most} MiB)"
    if waiting:
        return f"locks: {waiting} sessions of PostgreSQL wait for the follower"
    return None
