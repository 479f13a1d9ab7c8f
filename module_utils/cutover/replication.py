# SPDX-License-Identifier: GPL-3.0-or-later
"""The replication service seen from outside: its configuration, how far it is, and waiting until it is far enough."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from contextlib import closing
from typing import Any

from .capture import changes
from .errors import CutoverError
from .follow import state as states
from .lock import replicating
from .plan.model import from_dict as plan_from_dict
from .progress import say
from .reverse import loss
from .service import load, state_file
from .source.connect import open_readonly
from .target.connect import connect

CONFIG_FILE = "replication.config.json"
#: Of a process that is at work a state is at most so old.
STALE_SECONDS = 30.0
#: A service manager starts again what ended early; that long it is not missed.
_GRACE_SECONDS = 30.0
_LOOK_SECONDS = 0.5


def config_file(folder: str) -> str:
    """The path of the configuration in the folder of the migration's state."""
    return os.path.join(folder, CONFIG_FILE)


def configure(folder: str, config: dict[str, Any], check_mode: bool = False) -> tuple[str | None, bool]:
    """Write the configuration (mode 0600) if it says something new; (its digest, whether it does).

    The plan counts by its fingerprint: other numbers of rows are nothing new.
    """
    path = config_file(folder)
    with contextlib.suppress(CutoverError):
        there = load(path)
        digest = there.pop("digest")
        if _decisive(there) == _decisive(config):
            return digest, False
    if check_mode:
        return None, True
    temporary = f"{path}.{os.getpid()}"
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        json.dump(config, file, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    return str(load(path)["digest"]), True


def _decisive(config: dict[str, Any]) -> dict[str, Any]:
    try:
        return {**config, "plan": plan_from_dict(config["plan"]).fingerprint()}
    except (KeyError, TypeError):
        return {}


def forget(folder: str, check_mode: bool = False) -> list[str]:
    """Remove the configuration and the state; the paths (to be) removed. The lock file stays: it may be waited for."""
    paths = [path for path in (config_file(folder), state_file(folder)) if os.path.exists(path)]
    if not check_mode:
        for path in paths:
            os.unlink(path)
    return paths


def look(folder: str, count: bool = False) -> dict[str, Any]:
    """How far the replication is: {running, pid, config, program, direction, state, reason, lag_changes, lag_seconds, rate,
    predicted_hold_ms, position, age_seconds, stale, text}.

    What is not known is None. running: a process holds the lock. config, program: what that process was started with.
    count: while following, count the lag in the source at this moment, also when the process is gone.
    text: all of it in one line.
    """
    holder = replicating(folder)
    last = states.read(state_file(folder))
    found: dict[str, Any] = {
        "running": holder is not None,
        "pid": (holder or {}).get("pid"),
        "config": (holder or {}).get("config"),
        "program": (holder or {}).get("program"),
        "age_seconds": None if last is None else round(max(0.0, time.time() - last.at), 1),
    }
    for name in ("direction", "state", "reason", "lag_changes", "lag_seconds", "rate", "predicted_hold_ms", "position"):
        found[name] = getattr(last, name, None)
    found["stale"] = last is not None and found["age_seconds"] > STALE_SECONDS
    if count and last is not None and last.direction == "follow" and last.position is not None:
        with contextlib.suppress(CutoverError), closing(_source(folder)) as connection:
            found["lag_changes"] = changes.count(connection, last.position)
    found["text"] = text(found)
    return found


def text(found: dict[str, Any]) -> str:
    """What ``look`` found, in one line."""
    if found["state"] is None:
        return f"process {found['pid']} is about to begin" if found["running"] else "none"
    if not found["running"]:
        if found["state"] == "stopped":
            return f"stopped: {found['reason']}; {_behind(found)}"
        return f"does not run, and was last heard of {_ago(found['age_seconds'])} ({found['state']}); {_behind(found)}"
    if found["stale"]:
        return f"process {found['pid']} was last heard of {_ago(found['age_seconds'])} ({found['state']}); {_behind(found)}"
    if found["state"] == "following":
        return f"{'following' if found['direction'] == 'follow' else 'carrying back'}: {_figures(found)}"
    return f"{found['state']}: {found['reason']}; {_behind(found)}"


def _figures(found: dict[str, Any]) -> str:
    parts = [_behind(found)]
    if found["rate"] is not None:
        parts.append(f"{found['rate']:,.0f}/s")
    if found["predicted_hold_ms"] is not None:
        parts.append(f"hold predicted {found['predicted_hold_ms']:,.0f} ms")
    return ", ".join(parts)


def _behind(found: dict[str, Any]) -> str:
    lag = found["lag_changes"]
    if lag is None:
        return "how far behind is not known"
    seconds = found["lag_seconds"]
    age = f" ({seconds:,.0f} s)" if lag and seconds is not None and seconds >= 1 else ""
    return f"{lag:,} change{'' if lag == 1 else 's'} behind{age}"


def _ago(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s ago"
    return f"{seconds / 60:.0f} min ago" if seconds < 7200 else f"{seconds / 3600:.0f} h ago"


def wait_started(folder: str, digest: str, since: float, seconds: float) -> dict[str, Any]:
    """Wait until the service started after ``since`` (epoch seconds) with that configuration says how far it is.

    Returns what ``look`` finds. Raises CutoverError, with the service's own reason when it has ended again.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = look(folder)
        last = states.read(state_file(folder))
        if last is not None and found["config"] == digest and last.pid == found["pid"]:
            return found
        if last is not None and last.at >= since and last.state == "stopped" and not found["running"]:
            raise CutoverError(f"the replication has stopped: {last.reason}")
        if time.monotonic() > deadline:
            holds = f"process {found['pid']} holds {folder}" if found["running"] else "no process runs"
            why = f" It said: {last.reason}" if last is not None and last.at >= since and last.reason else ""
            raise CutoverError(
                f"the replication was started, but after {seconds:.0f} s it does not say how far it is ({holds}).{why} "
                "Look at its log."
            )
        time.sleep(0.1)


def wait_gone(folder: str, seconds: float) -> None:
    """Wait until no process replicates. Raises CutoverError."""
    deadline = time.monotonic() + seconds
    while (holder := replicating(folder)) is not None:
        if time.monotonic() > deadline:
            raise CutoverError(
                f"process {holder.get('pid', 'unknown')} still carries changes for this migration {seconds:.0f} s after it "
                "was told to stop. Look at what it waits for; it was not killed."
            )
        time.sleep(0.1)


def wait_close(
    folder: str,
    lag_changes: int,
    hold_ms: float,
    postpone_file: str | None = None,
    seconds: float = 0,
    progress: str | None = None,
) -> dict[str, Any]:
    """Wait until at most ``lag_changes`` wait, the hold is predicted at ``hold_ms`` or less, and ``postpone_file`` is gone.

    seconds: when to give up, 0 for never; what is close and only postponed costs nothing of it. progress: where what it
    waits for is written. Returns what ``look`` finds.
    Raises CutoverError, with the reason when the replication has stopped.
    """
    heard = time.monotonic()
    deadline = heard + seconds
    while True:
        found = look(folder)
        if found["running"] and not found["stale"]:
            heard = time.monotonic()
        elif found["state"] == "stopped" and not found["running"]:
            raise CutoverError(f"the replication has stopped: {found['reason']}")
        elif time.monotonic() - heard > _GRACE_SECONDS:
            raise CutoverError(
                f"the replication is not at work: it {found['text']}. See its log and playbooks/status.yml."
            )
        close = _is_close(found, lag_changes, hold_ms)
        postponed = bool(postpone_file) and os.path.exists(str(postpone_file))
        if close and not postponed:
            return found
        if close:
            deadline = time.monotonic() + seconds
        said = f"postponed until {postpone_file} is removed; {found['text']}" if postponed else found["text"]
        say(progress, said)
        if seconds and time.monotonic() > deadline:
            raise CutoverError(
                f"after {seconds:.0f} s it is not close enough ({lag_changes} changes and a hold of {hold_ms:.0f} ms are "
                f"wanted): {said}"
            )
        time.sleep(_LOOK_SECONDS)


def _is_close(found: dict[str, Any], lag_changes: int, hold_ms: float) -> bool:
    if not found["running"] or found["stale"] or found["state"] not in ("following", "throttled"):
        return False
    lag, hold = found["lag_changes"], found["predicted_hold_ms"]
    return lag is not None and lag <= lag_changes and hold is not None and hold <= hold_ms


def judge(folder: str) -> dict[str, Any]:
    """Whether going back now is free of loss: {free_of_loss, lag, why, text}, by the service's own configuration."""
    try:
        config = load(config_file(folder))
        plan = plan_from_dict(config["plan"])
        with (
            closing(_source(folder)) as source,
            closing(connect(config["target_url"])) as target,
            target.cursor() as cursor,
        ):
            found: dict[str, Any] = loss.judge(source, cursor, plan)
    except CutoverError as error:
        found = {"free_of_loss": False, "lag": None, "why": [f"it cannot be told: {error.message}"]}
    if found["free_of_loss"]:
        rest = f"; {found['lag']:,} changes are on their way, and rollback.yml takes them along" if found["lag"] else ""
        return {**found, "text": f"free of loss at this moment{rest}"}
    return {**found, "text": f"not free of loss, because {'; '.join(found['why']) or 'no reason was given'}"}


def _source(folder: str) -> sqlite3.Connection:
    return open_readonly(load(config_file(folder))["source_path"], bytearray)
