# SPDX-License-Identifier: GPL-3.0-or-later
"""Finishing or taking back what an interrupted switch left, by what is durable in SQLite and PostgreSQL.

| fence in SQLite | PostgreSQL's record | the application is | what is done |
|---|---|---|---|
| none, or one of a maintenance window | source, or none | on SQLite | route blue, release |
| stands | of another fence, or none | on PostgreSQL: the fence decided | open PostgreSQL, route green, release |
| stands | the same, drained rows are missing | on SQLite: never opened | lift the fence, route blue, release |
| stands | target, of this fence | on PostgreSQL | route green, release |
| stands | source, of this fence | on SQLite: PostgreSQL's record decided | lift the fence, route blue, release |
| none | target | unknown: somebody lifted the fence by hand | nothing; an error |

Steps between which an engine may be killed, and the line that the rest reads as. Forward: held, in flight done, SQLite
locked, drained: 1; fence committed: 2; opened, route half switched, switched, released: 3. Back: held, locked, replayed
into SQLite: 3 (what was replayed is replayed again); PostgreSQL closed: 4; fence lifted, route half switched,
switched, released: 1. Every line may be done again, and by two processes after another.
A transaction of the killed engine that PostgreSQL is still committing holds the record's lock, so it is waited for.
While PostgreSQL cannot be reached, a fence that stands is neither lifted nor passed: which line holds is not known.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any, Callable, TypeVar

from .. import access
from ..capture import changes
from ..capture.install import inspect
from ..errors import CutoverError, TargetError
from ..follow import position as follow_position
from ..journal import state_dir
from ..source import fence
from ..source.connect import ERRORS, explain, open_readonly
from ..target.connect import explain as explain_target
from . import pending, record
from .config import Config, is_online
from .proxy import BLUE, GREEN, Proxies, ProxyError
from .target import session

#: Between two tries of something that does not answer.
_PAUSE_SECONDS = 0.25
#: How long a transaction of a killed engine may keep the record's lock.
_LOCK_TIMEOUT = "5s"
Result = TypeVar("Result")


def settle(config: Config, by: str = "settle", say: Callable[[str], None] | None = None, opened_by: str = "") -> str:
    """Bring all parts to one side, and tell the journal how an attempt ended that it has not heard of.

    Returns "forward" or "back" when an interrupted attempt turns out as decided that way, else "nothing". Idempotent.
    say: is told what is waited for. opened_by: as for ``pending.read``. Raises CutoverError when a decided switch cannot be
    finished: PostgreSQL or a proxy does not answer for settle_seconds. The next call goes on.
    """
    folder = state_dir(config.name, config.state_dir)
    begun = pending.read(folder, opened_by)
    with Proxies(config.proxies) as proxies:
        back = begun is not None and begun.direction == "back"
        side = align(config, proxies, begun.attempt if begun and back else by, say, back)
    if begun is None:
        return "nothing"
    outcome = begun.direction if (begun.direction == "forward") == (side == GREEN) else "nothing"
    pending.end(folder, config.run, outcome, {"attempt": begun.attempt, "by": by})
    return outcome


def align(
    config: Config, proxies: Proxies, by: str, say: Callable[[str], None] | None = None, back: bool = False
) -> str:
    """Find out on which side the application is, bring all parts there, let requests go; return the side.

    back: it was on its way to SQLite, so a proxy that does not answer may still lead to PostgreSQL, and is waited for.
    """
    patience = _Patience(config.settle_seconds, say)
    standing = standing_fence(config.source_path)
    if standing is None or not is_online(standing):
        return _stay_on_blue(config, proxies, standing, patience, back)
    if patience.until_it_answers(lambda: _decided_target(config, standing), "PostgreSQL"):
        return _to(proxies, GREEN, patience)
    fence.lift_fence(config.source_path)
    return _to(proxies, BLUE, patience)


def standing_fence(path: str) -> str | None:
    """The fence that stands in a source."""
    connection = open_readonly(path, timeout=10.0)
    try:
        return fence.fence_id(connection)
    except ERRORS as error:
        raise explain(path, error) from None
    finally:
        connection.close()


class _Patience:
    """Tries again what does not answer, until the time is over."""

    def __init__(self, seconds: float, say: Callable[[str], None] | None) -> None:
        self._until = time.monotonic() + seconds
        self._say = say or (lambda text: None)

    def until_it_answers(self, work: Callable[[], Result], who: str) -> Result:
        told = False
        while True:
            try:
                return work()
            except (TargetError, ProxyError) as error:
                if time.monotonic() >= self._until:
                    raise CutoverError(
                        f"the switch cannot be finished while {who} cannot be asked: {error.message} What is decided stays "
                        "so, and nothing is opened on a guess. See that it can be reached and run the same playbook again, "
                        "which finishes it."
                    ) from None
                if not told:
                    self._say(f"waiting for {who}: {error.message}")
                    told = True
                time.sleep(_PAUSE_SECONDS)


def _stay_on_blue(config: Config, proxies: Proxies, standing: str | None, patience: _Patience, back: bool) -> str:
    states = proxies.state()
    if standing is not None:
        # A maintenance window's fence: its playbooks say where requests go.
        _release(proxies)
        return BLUE
    unknown = None if back else BLUE
    if all(state.get("route", unknown) == BLUE for state in states):
        # The usual case: nothing was decided. Requests do not wait for PostgreSQL's answer.
        _release(proxies)
        _check_not_on_target(config)
        return BLUE
    _check_not_on_target(config)
    return _to(proxies, BLUE, patience)


def _release(proxies: Proxies) -> None:
    # One that does not answer lets go by itself at its deadline, and where requests go was not changed.
    with contextlib.suppress(ProxyError):
        proxies.release()


def _check_not_on_target(config: Config) -> None:
    try:
        connection = session(config.target_url)
    except TargetError:
        # No fence stands, so SQLite takes writes whatever PostgreSQL would say.
        return
    try:
        with connection, connection.cursor() as cursor:
            found = record.read(cursor, config.plan.own, config.name)
    except connection.Error:
        return
    finally:
        connection.close()
    if found is not None and found.side == "target":
        raise CutoverError(
            f"{config.source_path} takes writes, but by PostgreSQL's record the application was switched to it (fence "
            f"{found.fence}), and it may write there too. Somebody has lifted the fence by hand. Stop the application, find out "
            "which database holds the newer rows, and see the page on incidents; nothing was changed."
        )


def _decided_target(config: Config, standing: str) -> bool:
    """Whether a fence that stands was passed towards PostgreSQL, which is opened then if it is not."""
    connection = session(config.target_url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
            cursor.execute("SET LOCAL synchronous_commit TO on")
            record.prepare(cursor, config.plan.own, config.name)
            found = record.read(cursor, config.plan.own, config.name, lock=True)
            if found is not None and found.fence == standing:
                return found.side == "target"
            if not _holds_everything(config, cursor):
                # It was never opened for this fence, so nothing is lost by never opening it.
                record.note(cursor, config.plan.own, config.name, standing, "source", standing)
                return False
            _to_disk(config.source_path)
            opening = access.prepare_opening(cursor, config.plan, config.application_role)
            record.note(cursor, config.plan.own, config.name, standing, "target", standing)
            cursor.execute(opening.sql)
            return True
    except connection.Error as error:
        raise explain_target(error, "PostgreSQL does not let the switch be finished") from None
    finally:
        connection.close()


def _holds_everything(config: Config, cursor: Any) -> bool:
    """Whether PostgreSQL still has what was drained into it before the fence.

    A replica that took over may lack it, or somebody has made the tables anew since.
    """
    stands = follow_position.read(cursor, config.plan.own)
    source = open_readonly(config.source_path)
    try:
        capture = inspect(source)
        if capture is None or stands is None:
            return False
        return (stands.capture_id, stands.position) == (capture.id, changes.position(source))
    except ERRORS as error:
        raise explain(config.source_path, error) from None
    finally:
        source.close()


def _to_disk(path: str) -> None:
    """A fence whose engine was killed in its COMMIT may be read before it is on the disk.

    SQLite has no lock on the log itself, so that it may be closed here.
    """
    with contextlib.suppress(FileNotFoundError):
        number = os.open(f"{path}-wal", os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _to(proxies: Proxies, side: str, patience: _Patience) -> str:
    def switch() -> None:
        proxies.route(side)
        proxies.release()

    patience.until_it_answers(switch, "the proxies")
    return side


__all__ = ["align", "settle", "standing_fence"]
