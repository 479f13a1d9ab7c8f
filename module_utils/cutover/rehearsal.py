# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rehearsal measures while PostgreSQL follows the source under the application's real load."""

from __future__ import annotations

import os
import time
from contextlib import closing
from typing import Any

from .capture import changes
from .capture.names import LOG
from .errors import CutoverError
from .follow import state as states
from .follow.state import State
from .lock import replicating
from .plan.model import Plan
from .service import state_file
from .source.connect import ERRORS, explain, open_readonly
from .source.sqltokens import quote
from .switch.gate import predict

_LOOK_SECONDS = 0.5
#: Of the log, so many of the newest entries say how large one is.
_SAMPLE = 5_000
#: The header of a cell and of its record, beside the values.
_ENTRY_BYTES = 12


def measure(folder: str, path: str, plan: Plan, seconds: float) -> dict[str, Any]:
    """Watch the replication for so long; changes nothing.

    Returns {seconds, changes, changes_per_second: what the application logged; applied, applied_per_second: what PostgreSQL
    took in; highest_rate: entries applied in a second at most; lag_changes, lag_seconds: the largest lag; hold_ms,
    hold_ms_most: the critical section as predicted, on average and at most; throttled_seconds, reason;
    log_bytes_per_change, log_bytes_per_hour: growth of the log while nobody prunes it}.
    Raises CutoverError when nothing replicates, or stops to.
    """
    began = time.monotonic()
    first_logged, first = _position(path), _state(folder)
    seen = [first]
    while (left := began + seconds - time.monotonic()) > 0:
        time.sleep(min(left, _LOOK_SECONDS))
        seen.append(_state(folder))
    took = time.monotonic() - began
    logged, applied = _position(path) - first_logged, (seen[-1].position or 0) - (first.position or 0)
    holds = [predict(plan, state.predicted_hold_ms) for state in seen if state.predicted_hold_ms is not None]
    slow = [state for state in seen if state.state != states.FOLLOWING]
    size = entry_bytes(path)
    return {
        "seconds": round(took, 1),
        "changes": logged,
        "changes_per_second": round(logged / took, 1),
        "applied": applied,
        "applied_per_second": round(applied / took, 1),
        "highest_rate": max((state.rate or 0.0 for state in seen), default=0.0),
        "lag_changes": max((state.lag_changes or 0 for state in seen), default=0),
        "lag_seconds": max((state.lag_seconds or 0.0 for state in seen), default=0.0),
        "hold_ms": round(sum(holds) / len(holds), 1) if holds else None,
        "hold_ms_most": round(max(holds), 1) if holds else None,
        "throttled_seconds": round(took * len(slow) / len(seen), 1),
        "reason": next((state.reason for state in reversed(slow)), None),
        "log_bytes_per_change": size,
        "log_bytes_per_hour": round(logged / took * 3600 * size),
    }


def entry_bytes(path: str) -> int:
    """About how many bytes one entry of the log takes in the file; 0 while the log is empty."""
    with closing(open_readonly(path)) as source:
        try:
            names = [str(row[1]) for row in source.execute(f"PRAGMA table_info({quote(LOG)})")]
            # A number takes at most eight bytes, also where its text would be longer.
            each = " + ".join(
                f"CASE typeof({name}) WHEN 'text' THEN length(CAST({name} AS BLOB)) WHEN 'blob' THEN length({name})"
                f" WHEN 'null' THEN 0 ELSE 6 END"
                for name in map(quote, names[1:])
            )
            row = source.execute(
                f"SELECT avg({each}) FROM (SELECT * FROM {quote(LOG)} ORDER BY seq DESC LIMIT {_SAMPLE})"
            ).fetchone()
        except ERRORS as error:
            raise explain(path, error) from None
    return 0 if row[0] is None else round(row[0]) + _ENTRY_BYTES


def _position(path: str) -> int:
    with closing(open_readonly(path)) as source:
        return changes.position(source)


def _state(folder: str) -> State:
    """How far the replication is at this moment. Raises CutoverError when it does not run."""
    last = states.read(state_file(folder))
    if last is None or last.state == states.STOPPED or replicating(folder) is None:
        why = f": {last.reason}" if last is not None and last.reason else ""
        raise CutoverError(
            f"the replication does not run, so there is nothing to measure{why}. "
            f"Its log is {os.path.join(folder, 'replication.log')}."
        )
    return last
