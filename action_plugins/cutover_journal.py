# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells the journal who runs the playbook, and takes the lock from a run of this controller that was killed."""

from __future__ import annotations

import os
import socket
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Runs the module with the controller's identity; asks once more when the holder of the lock is dead."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module; return its result."""
        super().run(tmp, task_vars)
        arguments = {**self._task.args, "owner": _identity(os.getppid())}
        result = self._execute_module(module_name="cutover_journal", module_args=arguments, task_vars=task_vars)
        if result.get("failed") and _is_dead(result.get("holder") or {}):
            arguments["break_lock"] = True
            result = self._execute_module(module_name="cutover_journal", module_args=arguments, task_vars=task_vars)
        return result


def _identity(pid: int) -> dict[str, str]:
    """The process of ansible-playbook, unmistakable: host, boot of that host, number and start time."""
    return {
        "host": socket.gethostname(),
        "boot": _boot(),
        "numbers": _numbers(),
        "pid": str(pid),
        "started": _started(pid),
    }


def _is_dead(holder: dict[str, Any]) -> bool:
    """True when the lock's holder ran on this very machine and is no more. A holder elsewhere cannot be judged."""
    owner = holder.get("owner") or {}
    if owner.get("host") != socket.gethostname() or not owner.get("started"):
        return False
    if owner.get("boot") != _boot():
        return True
    if owner.get("numbers") != _numbers():
        # Another container of this host: the same number is another process there.
        return False
    return bool(_started(int(owner["pid"])) != owner["started"])


def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def _numbers() -> str:
    """The namespace in which process numbers are counted."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _started(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return ""
    # A zombie has ended; its parent merely has not asked yet.
    return "" if fields[0] == "Z" else fields[19]
