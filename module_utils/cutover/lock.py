# SPDX-License-Identifier: GPL-3.0-or-later
"""The locks: of a run of a playbook (a lease in a file), of the engine's process, and of the one that replicates (flock)."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from typing import Any

from .errors import CutoverError

#: A run of another controller that has not been heard of for so long, and has no engine at work, counts as dead.
LEASE_SECONDS = 3600
_RUN_FILE = "run.lock"
_ENGINE_FILE = "engine.lock"
_REPLICATION_FILE = "replication.lock"
_GRACE_SECONDS = 20


class Locked(CutoverError):
    """Another run holds the migration; ``holder`` says which, so that its controller can look whether it lives."""

    def __init__(self, message: str, holder: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.holder: dict[str, Any] = holder or {}


class RunLock:
    """The lock of a run over all its steps, held in the folder of the migration's state."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._path = os.path.join(folder, _RUN_FILE)

    def acquire(self, run: str, owner: dict[str, Any], playbook: str, takeover: bool = False) -> None:
        """Take the lock for a run that begins. takeover: the holder is known to be dead. Raises Locked."""
        with self._open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            holder = self._read(file)
            if holder and holder["run"] != run and not takeover:
                self._check_abandoned(holder, owner)
            self._write(file, holder, run, owner, playbook)

    def renew(self, run: str, owner: dict[str, Any], playbook: str) -> None:
        """Say that the run is alive. Raises Locked when the lock is no longer its own: it must do nothing more then."""
        with self._open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            holder = self._read(file)
            if not holder or holder["run"] != run:
                by = f"{holder['playbook']} (run {holder['run']}) has it" if holder else "nobody has it"
                raise Locked(
                    f"run {run} of {playbook} has lost the lock of this migration, {by}; so it does nothing more. "
                    "See playbooks/status.yml."
                )
            self._write(file, holder, run, owner, playbook)

    def _open(self) -> Any:
        # Not "a+": that would write behind what is there.
        return os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8")

    def _check_abandoned(self, holder: dict[str, Any], asker: dict[str, Any]) -> None:
        """Raise Locked unless nobody can be at work for the holder any more."""
        who, silent = holder["owner"], time.time() - holder["renewed"]
        at_work = (
            f"{holder['playbook']} is at work on this migration since {holder['since']} (run {holder['run']}, "
            f"process {who.get('pid')} on {who.get('host')}). Wait for it"
        )
        if who.get("boot") and all(who.get(name) == asker.get(name) for name in ("host", "boot", "numbers")):
            # On the same machine its process can be looked at, which action_plugins/cutover_journal.py does.
            raise Locked(f"{at_work}, or end it.", holder)
        if silent < LEASE_SECONDS or engine_at_work(self._folder):
            left = max(int(LEASE_SECONDS - silent), 0)
            when = f"in {left} s" if left else "when its copy or comparison ends"
            raise Locked(
                f"{at_work}. If that controller is gone, the lock ends by itself {when}, or at once with "
                "-e cutover_break_lock=true.",
                holder,
            )

    @staticmethod
    def _write(file: Any, holder: dict[str, Any] | None, run: str, owner: dict[str, Any], playbook: str) -> None:
        same = holder is not None and holder["run"] == run
        entry = {
            "run": run,
            "owner": owner,
            "playbook": playbook,
            "since": holder["since"] if same and holder else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "renewed": time.time(),
        }
        # First the write, then the cut: a process killed in between leaves an entry that can be read all the same.
        file.seek(0)
        file.write(json.dumps(entry))
        file.flush()
        file.truncate()
        os.fsync(file.fileno())

    def release(self, run: str) -> bool:
        """Let go, if this run holds it."""
        if not os.path.exists(self._path):
            return False
        with self._open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            holder = self._read(file)
            if not holder or holder["run"] != run:
                return False
            file.seek(0)
            file.truncate()
            return True

    def holder(self) -> dict[str, Any] | None:
        """Who holds the lock."""
        try:
            with open(self._path, encoding="utf-8") as file:
                return self._read(file)
        except FileNotFoundError:
            return None

    @staticmethod
    def _read(file: Any) -> dict[str, Any] | None:
        file.seek(0)
        text = file.read()
        try:
            found: dict[str, Any] = json.JSONDecoder().raw_decode(text)[0]
        except ValueError:
            return None
        return found


def engine_at_work(folder: str) -> bool:
    """Whether a process copies, compares or backs up in this folder, of whichever run."""
    try:
        with open(os.path.join(folder, _ENGINE_FILE), encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


class EngineLock:
    """Held by the process that copies, compares or backs up. A process that a killed run left behind is ended first."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, _ENGINE_FILE)
        self._file: Any = None

    def __enter__(self) -> EngineLock:
        self._file = open(self._path, "a+", encoding="utf-8")
        deadline = time.monotonic() + _GRACE_SECONDS
        told = False
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                late = time.monotonic() > deadline
                if late and told and time.monotonic() > deadline + _GRACE_SECONDS:
                    raise CutoverError(f"{self._path}: another engine process holds it and does not end.") from None
                if late or not told:
                    self._end_holder(signal.SIGKILL if late else signal.SIGTERM)
                    told = True
                time.sleep(0.1)
        self._file.seek(0)
        self._file.truncate()
        self._file.write(f"{os.getpid()} {started(os.getpid())}")
        self._file.flush()
        return self

    def _end_holder(self, how: int) -> None:
        """Signal the process that wrote its number here, if that number still is the same process."""
        self._file.seek(0)
        parts = self._file.read().split()
        if len(parts) == 2 and parts[0].isdigit() and started(int(parts[0])) == parts[1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(parts[0]), how)

    def __exit__(self, *_: object) -> None:
        self._file.close()


class ReplicationLock:
    """Held by the one process that carries changes from one database to the other: the service, or a critical section.

    Unlike EngineLock it ends nobody: what replicates is stopped by whoever started it. about: what ``replicating`` tells
    of the holder, beside its number. patience: seconds to wait for a holder that is about to end.
    """

    def __init__(self, folder: str, about: dict[str, Any] | None = None, patience: float = 10.0) -> None:
        self._path = os.path.join(folder, _REPLICATION_FILE)
        self._about = about or {}
        self._patience = patience
        self._file: Any = None

    def __enter__(self) -> ReplicationLock:
        """Take the lock. Raises Locked."""
        # Not "a+": that would write behind what is there.
        self._file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8")
        deadline = time.monotonic() + self._patience
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    holder = _holder(self._file)
                    self._file.close()
                    raise Locked(
                        f"{self._path}: process {holder.get('pid', 'unknown')} carries changes for this migration already. "
                        "Stop it first (role replication, entry point stop).",
                        holder,
                    ) from None
                time.sleep(0.05)
        self._file.seek(0)
        self._file.truncate()
        json.dump({**self._about, "pid": os.getpid(), "started": started(os.getpid())}, self._file)
        self._file.flush()
        return self

    def fileno(self) -> int:
        """The file that is locked: a process that inherits it keeps the lock until both have closed it."""
        return int(self._file.fileno())

    def __exit__(self, *_: object) -> None:
        self._file.close()


def replicating(folder: str) -> dict[str, Any] | None:
    """Who holds the ReplicationLock: {pid, started, …}, as far as it has said so; None when nobody does."""
    try:
        with open(os.path.join(folder, _REPLICATION_FILE), encoding="utf-8") as file:
            try:
                # Held for a moment only: a service that starts just now tries again.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _holder(file)
    except FileNotFoundError:
        pass
    return None


def _holder(file: Any) -> dict[str, Any]:
    file.seek(0)
    try:
        found: dict[str, Any] = json.load(file)
    except ValueError:
        return {}
    return found if started(int(found.get("pid", 0))) == found.get("started") else {}


def started(pid: int) -> str:
    """The start time of a process in clock ticks, which with its number makes it unmistakable; empty if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return ""
