# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the critical section may begin, and how long it would hold the application."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Any, TypeVar

from .. import access, service
from ..capture import changes
from ..capture.guard import Guard
from ..capture.install import inspect
from ..errors import CutoverError, TargetError
from ..follow import position as follow_position
from ..follow import state as states
from ..journal import state_dir
from ..plan.model import Plan
from ..reverse import capture as reverse_capture
from ..reverse import changes as reverse_changes
from ..reverse import loss
from ..source import fence
from ..source.connect import ERRORS, explain, open_readonly
from ..target.connect import explain as explain_target
from . import bypass, record
from .config import Config
from .proxy import BLUE, GREEN, Proxies, ProxyError
from .target import session

#: How long connections past the proxy are looked at before they count.
_LOOK_SECONDS = 2.0
Answer = TypeVar("Answer")
#: Milliseconds of a hold that do not depend on what waits: proxies, commits, the fence.
_FIXED_MS = 10.0
#: The fence's triggers on a table, or their removal.
_TABLE_MS = 0.3
#: Milliseconds for each change that waits, where nothing was measured.
_EACH_MS = 0.25


def check(config: Config, direction: str = "forward") -> dict[str, Any]:
    """{refused: [what stands in the way], predicted_hold_ms, waiting: changes}; changes nothing, predicts nothing if refused.

    While the replication runs, what waits is what it has not carried at this moment.
    """
    with Proxies(config.proxies) as proxies:
        refused = forward(config, proxies) if direction == "forward" else back(config, proxies)
    if refused:
        # What cannot begin has no time to be predicted, and what would have to be asked may not be there.
        return {"refused": refused, "predicted_hold_ms": None, "waiting": None}
    waiting = _waiting(config, direction)
    last = states.read(service.state_file(state_dir(config.name, config.state_dir)))
    predicted = last.predicted_hold_ms if last is not None else None
    if predicted is None:
        predicted = (waiting or 0) * _EACH_MS
    predicted = predict(config.plan, predicted)
    if predicted > config.budget_ms / 2:
        refused.append(
            f"the hold would take about {predicted:.0f} ms, more than half of its budget of {config.budget_ms} ms "
            f"({waiting} changes wait)"
        )
    return {"refused": refused, "predicted_hold_ms": round(predicted, 1), "waiting": waiting}


def predict(plan: Plan, changes_ms: float) -> float:
    """Milliseconds of a hold, given those for applying and proving the changes that wait."""
    return changes_ms + _FIXED_MS + _TABLE_MS * len(plan.tables)


def require(reasons: list[str], what: str) -> None:
    """Raise CutoverError with all reasons, unless there are none."""
    if reasons:
        raise CutoverError(f"{what} is not begun, nothing was held or changed: {'; '.join(reasons)}.")


def broken(error: BaseException) -> TargetError:
    """The TargetError for what PostgreSQL said while a switch was prepared."""
    return explain_target(error, "The switch is not begun")


def forward(config: Config, proxies: Proxies) -> list[str]:
    """What stands in the way of a switch to PostgreSQL. Raises CutoverError when it cannot be found out."""
    reasons = [] if config.verified else ["not all rows have been proved at a known position (run the proof first)"]
    reasons += _proxies(proxies, leaves=BLUE, enters=GREEN) + _bypassing(config, config.blue_ports)
    capture_id = _on_source(config, lambda source: _forward_source(config, source, reasons))
    return reasons + _on_target(config, lambda cursor: _forward_target(config, cursor, capture_id))


def back(config: Config, proxies: Proxies) -> list[str]:
    """What stands in the way of going back to SQLite. Raises CutoverError when it cannot be found out."""
    reasons = _proxies(proxies, leaves=GREEN, enters=BLUE) + _bypassing(config, config.green_ports)
    standing = _on_source(config, fence.fence_id)
    if standing is None:
        return [*reasons, "SQLite takes writes, so the application is not on PostgreSQL alone"]

    def ask(cursor: Any) -> list[str]:
        found = _may_write(cursor)
        noted = record.read(cursor, config.plan.own, config.name)
        if noted is None or noted.fence != standing or noted.side != "target":
            return [*found, f"by PostgreSQL's record the application was not switched to it by the fence {standing}"]
        judged = _on_source(config, lambda source: loss.judge(source, cursor, config.plan))
        return found + list(judged["why"])

    return reasons + _on_target(config, ask)


def _forward_source(config: Config, source: sqlite3.Connection, reasons: list[str]) -> str | None:
    standing = fence.fence_id(source)
    if standing is not None:
        reasons.append(f"the source is closed to writes already (fence {standing})")
    capture = inspect(source)
    if capture is None:
        reasons.append("the source does not log its changes: the capture is not installed, or was dropped")
        return None
    source.execute("BEGIN")
    try:
        Guard(config.source_path, config.plan).check(source)
    except CutoverError as error:
        reasons.append(error.message)
    finally:
        if source.in_transaction:
            source.execute("ROLLBACK")
    return capture.id


def _forward_target(config: Config, cursor: Any, capture_id: str | None) -> list[str]:
    reasons = _may_write(cursor)
    cursor.execute("SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", (config.application_role,))
    row = cursor.fetchone()
    if row is None:
        reasons.append(f"PostgreSQL has no role {config.application_role} for the application")
    elif not row[0]:
        reasons.append(f"the application's role {config.application_role} may not log in to PostgreSQL")
    stands = follow_position.read(cursor, config.plan.own)
    if stands is None:
        reasons.append("PostgreSQL does not know its position in the change log: the copy is not followed")
    elif capture_id is not None and stands.capture_id != capture_id:
        reasons.append(
            f"PostgreSQL followed the change log {stands.capture_id}, the source has {capture_id} now: copy anew"
        )
    if stands is not None and row is not None:
        reasons += _writers(config, cursor)
    if stands is not None:
        reasons += [f"the way back is not ready: {reason}" for reason in reverse_capture.problems(cursor, config.plan)]
        reasons += written_by_others(cursor, config.plan.own)
    return reasons


def written_by_others(cursor: Any, own: str) -> list[str]:
    """The refusal of a target that somebody else has written to since its rows were proved; nobody may, but an owner can."""
    tables = reverse_changes.strays(cursor, own)
    if not tables:
        return []
    reason = (
        f"others than the engine have written to PostgreSQL since its rows were proved ({', '.join(tables[:3])}): stop them and "
        "run cutover.yml again, which proves every row anew"
    )
    return [reason]


def _writers(config: Config, cursor: Any) -> list[str]:
    tables = access.may_write(cursor, config.plan, config.application_role)
    if not tables:
        return []
    reason = (
        f"the application's role {config.application_role} may write to PostgreSQL already ({', '.join(tables[:3])}), so both "
        "databases would take writes: revoke that, or see which role or ownership gives it; the switch grants it"
    )
    return [reason]


def _may_write(cursor: Any) -> list[str]:
    cursor.execute("SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean")
    replica, read_only = cursor.fetchone()
    if replica:
        return ["PostgreSQL is a replica, which takes no writes"]
    return ["PostgreSQL is read-only (default_transaction_read_only)"] if read_only else []


def _proxies(proxies: Proxies, leaves: str, enters: str) -> list[str]:
    try:
        proxies.check()
        reasons = list(proxies.unhealthy(enters))
        for state in proxies.state():
            if "error" in state:
                reasons.append(str(state["error"]))
            elif state["route"] != leaves:
                reasons.append(f"{state['name']}: requests go to {state['route']}, not to {leaves}")
            elif state["maintenance"] != "off":
                reasons.append(f"{state['name']}: maintenance is {state['maintenance']}")
    except ProxyError as error:
        return [error.message]
    return reasons


def _bypassing(config: Config, ports: tuple[int, ...]) -> list[str]:
    found: dict[str, int] = {}
    until = time.monotonic() + _LOOK_SECONDS
    while ports:
        found = bypass.connections(ports, config.proxy_addresses)
        if not found or time.monotonic() > until:
            break
        # A connection that is being made or ended is not whole in the kernel's table at each moment.
        time.sleep(0.1)
    return [
        f"{count} connection(s) from {peer} reach the application past the proxy; their requests would not be held"
        for peer, count in sorted(found.items())
    ]


def _waiting(config: Config, direction: str) -> int | None:
    if direction != "forward":
        return _on_target(config, lambda cursor: _outbox(cursor, config.plan.own))
    stands = _on_target(config, lambda cursor: follow_position.read(cursor, config.plan.own))
    if stands is None:
        return None
    return _on_source(config, lambda source: changes.count(source, stands.position))


def _outbox(cursor: Any, own: str) -> int | None:
    outbox = reverse_capture.outbox_of(own)
    cursor.execute("SELECT to_regclass(%s)", (outbox,))
    if cursor.fetchone()[0] is None:
        return None
    cursor.execute(f"SELECT count(*) FROM {outbox}")
    return int(cursor.fetchone()[0])


def _on_source(config: Config, ask: Callable[[sqlite3.Connection], Answer]) -> Answer:
    source = open_readonly(config.source_path)
    try:
        return ask(source)
    except ERRORS as error:
        raise explain(config.source_path, error) from None
    finally:
        source.close()


def _on_target(config: Config, ask: Callable[[Any], Answer]) -> Answer:
    connection = session(config.target_url)
    try:
        with connection, connection.cursor() as cursor:
            return ask(cursor)
    except connection.Error as error:
        raise broken(error) from None
    finally:
        connection.close()
