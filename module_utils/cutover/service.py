# SPDX-License-Identifier: GPL-3.0-or-later
"""The replication as a process of its own: follow before the switch, reverse after it, until it is told to stop.

    python3 -m cutover.service --config FILE [--daemon --pid-file FILE --log FILE]

It outlives the playbook, the controller and, with a service manager, reboots. Exit status: 0 stopped as asked (SIGTERM,
SIGINT), 3 stopped for a reason that needs the operator, so that starting it again would not help; anything else is worth
another start. The reason stands in the state file and on standard error. With --daemon it is its own service manager.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import json
import os
import signal
import stat
import sys
import time
from typing import Any, Callable

from . import daemon
from .errors import CutoverError
from .follow import state as states
from .follow.loop import Follower
from .lock import Locked, ReplicationLock
from .reverse.loop import Reverser
from .source.connect import open_readonly
from .source.fence import fence_id

STOPPED, AGAIN, OPERATOR = 0, 1, 3
#: The state file, in the folder of the migration's state.
STATE_FILE = states.NAME
_DIRECTIONS = ("follow", "reverse")
_REQUIRED = ("name", "state_dir", "source_path", "plan", "target_url", "direction")


class WrongDirection(CutoverError):
    """What is asked for would write to the database that is not to be written to now."""


def load(path: str) -> dict[str, Any]:
    """The configuration: {name, state_dir, source_path, plan, target_url, direction: follow|reverse, limits: {}}.

    Adds ``digest``, the SHA-256 of the file. Raises CutoverError, also when others than its owner may read the file: it
    holds a password.
    """
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            raw = file.read()
    except OSError as error:
        raise CutoverError(f"{path}: the configuration cannot be read ({error.strerror}).") from None
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077 or status.st_uid != os.geteuid():
        raise CutoverError(
            f"{path}: holds a password, so it must belong to the user that runs the service and be closed to all others "
            f"(mode 0600; it has mode {mode:04o} and belongs to user {status.st_uid}). Change the password if others "
            "could read it."
        )
    try:
        config: dict[str, Any] = json.loads(raw)
        missing = [key for key in _REQUIRED if not config.get(key)]
    except (ValueError, AttributeError):
        raise CutoverError(f"{path}: is not the configuration of a replication; write it again.") from None
    if missing:
        raise CutoverError(f"{path}: lacks {', '.join(missing)}; write it again (role replication, entry point start).")
    if config["direction"] not in _DIRECTIONS:
        raise CutoverError(f"{path}: direction is {config['direction']!r}; it is one of {', '.join(_DIRECTIONS)}.")
    return {"limits": {}, **config, "digest": hashlib.sha256(raw).hexdigest()}


def state_file(folder: str) -> str:
    """The path of the state file in the folder of the migration's state."""
    return os.path.join(folder, states.NAME)


def check_direction(config: dict[str, Any]) -> None:
    """Raise WrongDirection unless the fence allows the direction: it stands exactly while PostgreSQL is written to."""
    path = config["source_path"]
    connection = open_readonly(path)
    try:
        fence = fence_id(connection)
    finally:
        connection.close()
    if config["direction"] == "follow" and fence is not None:
        raise WrongDirection(
            f"{path}: the fence {fence} stands, so the application is on PostgreSQL or on its way there, and nothing is "
            "carried from SQLite over what it writes. See playbooks/status.yml."
        )
    if config["direction"] == "reverse" and fence is None:
        raise WrongDirection(
            f"{path}: takes writes (no fence stands), so the application is on SQLite, and nothing is carried from "
            "PostgreSQL over what it writes. See playbooks/status.yml."
        )


class _Stop:
    """Whether the process was asked to end: by a signal, or because the one that looks after it is gone."""

    def __init__(self, parent: int | None = None) -> None:
        self._asked = False
        self._parent = parent
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)
        # daemon.keep starts its child with both held back, so that none is lost before this.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})

    def _ask(self, *_: object) -> None:
        self._asked = True

    def __call__(self) -> bool:
        return self._asked or (self._parent is not None and os.getppid() != self._parent)


def serve(config: dict[str, Any], stop: Callable[[], bool], tell: daemon.Tell = lambda status, words: None) -> int:
    """Replicate until ``stop()``; the exit status. What stops it otherwise stands in the state file.

    tell: is told that it works (0), or with which status and why it does not.
    """
    about = {
        "direction": config["direction"],
        "config": config["digest"],
        "program": os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
    }
    try:
        with ReplicationLock(config["state_dir"], about):
            return _serve(config, stop, tell)
    except Locked as error:
        # Its state file is the other one's.
        _say(error.message)
        tell(OPERATOR, error.message)
        return OPERATOR


def _serve(config: dict[str, Any], stop: Callable[[], bool], tell: daemon.Tell) -> int:
    _say(f"{config['name']}: {config['direction']}, {config['source_path']}")
    try:
        check_direction(config)
    except WrongDirection as error:
        tell(OPERATOR, error.message)
        return _ended(config, OPERATOR, "stopped", error.message)
    except CutoverError as error:
        # A folder that is not mounted yet, a file that is locked: it may be there the next time.
        return _ended(config, AGAIN, "waiting", error.message)
    tell(0, "")
    try:
        loop = Follower(config) if config["direction"] == "follow" else Reverser(config)
        loop.run(stop)
    except CutoverError as error:
        return _ended(config, OPERATOR, "stopped", error.message)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told where the operator looks, then started again
        sys.excepthook(*sys.exc_info())
        return _ended(config, AGAIN, "waiting", f"starts again after: {type(error).__name__}: {error}")
    if stop():
        return _ended(config, STOPPED, "stopped", "stopped as asked")
    return _ended(config, OPERATOR, "stopped", None)


def _ended(config: dict[str, Any], code: int, how: str, reason: str | None) -> int:
    """Note in the state file how the process ended; what it did until then stays there."""
    path = state_file(config["state_dir"])
    last = states.read(path)
    if last is None or last.direction != config["direction"]:
        last = states.State(direction=config["direction"], state=how)
    if reason is None:
        reason = last.reason or "ended without a reason"
    states.write(path, dataclasses.replace(last, state=how, reason=reason, at=time.time(), pid=os.getpid()))
    _say(reason)
    return code


def _say(text: str) -> None:
    # Nobody who listens (a journal that was restarted, a full disk) is no reason to stop.
    with contextlib.suppress(OSError):
        print(f"pg-cutover {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the service; the exit status."""
    parser = argparse.ArgumentParser(prog="cutover.service", description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--config", required=True, help="the configuration, JSON, mode 0600")
    parser.add_argument("--daemon", action="store_true", help="go into the background and start again what ends early")
    parser.add_argument("--pid-file", help="with --daemon: where the process number is written")
    parser.add_argument("--log", help="with --daemon: where standard error goes")
    given = parser.parse_args(arguments)
    if given.daemon and not (given.pid_file and given.log):
        parser.error("--daemon needs --pid-file and --log")
    # Names the password's file, never its contents; the state and the log are nobody else's business either.
    os.umask(0o077)
    try:
        config = load(given.config)
    except CutoverError as error:
        _say(error.message)
        return OPERATOR
    if not given.daemon:
        return serve(config, _Stop())

    tell = daemon.detach(given.pid_file, given.log)
    keeper = os.getpid()
    return daemon.keep(lambda: _kept(given.config, _Stop(keeper), tell), given.pid_file, (STOPPED, OPERATOR), tell)


def _kept(path: str, stop: Callable[[], bool], tell: daemon.Tell) -> int:
    """As ``serve``, with the configuration as it is now: it may be another one since the last time."""
    try:
        config = load(path)
    except CutoverError as error:
        _say(error.message)
        tell(OPERATOR, error.message)
        return OPERATOR
    return serve(config, stop, tell)


if __name__ == "__main__":
    raise SystemExit(main())
