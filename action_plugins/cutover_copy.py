# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows the progress of a long module on the operator's terminal while it runs on the host.

The module runs in the background on the host and writes its progress to a file there; this plugin reads the file
every two seconds, and notices when the module's process is gone without an answer. It serves every long module of
the project: the other names in this folder are links to it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

_EVERY_SECONDS = 2.0
#: On a terminal a line is shown at every reading; in a log, one in so many seconds is enough.
_LOG_SECONDS = 30.0
#: A module that works on a large database may well take days; this only ends what was forgotten.
_LIMIT_SECONDS = 7 * 24 * 3600
#: How long a module may take until it says which process it is; how often it may be missed before it counts as gone.
_START_SECONDS = 120.0
_MISSED = 3
_ENDED = (
    "The process at work on {host} ended without an answer: it was killed, ran out of memory, or the host restarted. "
    "Run again; it goes on where it stopped."
)

display = Display()


class ActionModule(ActionBase):
    """Runs the module of the task's name in the background and shows what it reports."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module; return its result."""
        super().run(tmp, task_vars)
        name = self._task.action.rsplit(".", 1)[-1]
        arguments = dict(self._task.args)
        if self._task.check_mode or self._task.async_val:
            return self._execute_module(module_name=name, module_args=arguments, task_vars=task_vars)
        folder = self._make_tmp_path()
        arguments["progress_file"] = folder + "progress.json"
        self._task.async_val = _LIMIT_SECONDS
        try:
            started = self._execute_module(
                module_name=name, module_args=arguments, task_vars=task_vars, wrap_async=True
            )
            if started.get("failed") or "ansible_job_id" not in started:
                return started
            result = self._follow(started["ansible_job_id"], arguments["progress_file"], task_vars)
        finally:
            self._task.async_val = 0
            self._remove_tmp_path(folder, force=True)
        for key in ("ansible_job_id", "started", "finished", "results_file"):
            result.pop(key, None)
        return result

    def _follow(self, job: str, path: str, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """Wait for the end of the job, showing progress."""
        host = (task_vars or {}).get("inventory_hostname", "")
        shown, shown_at = "", 0.0
        began, missed = time.monotonic(), 0
        while True:
            line, process = self._look(path)
            if process != "runs":
                status = self._status(job, "status", task_vars)
                if status.get("finished") or status.get("failed"):
                    self._status(job, "cleanup", task_vars)
                    return _explained(status, host)
                # Whoever looks after the process has a moment to write down how it ended.
                unborn = process == "unborn" and time.monotonic() - began > _START_SECONDS
                missed = missed + 1 if process == "gone" or unborn else 0
                if missed > _MISSED:
                    return {"failed": True, "changed": False, "msg": _ENDED.format(host=host)}
            every = _EVERY_SECONDS if sys.stdout.isatty() else _LOG_SECONDS
            if line and line != shown and time.monotonic() - shown_at >= every - 0.5:
                display.display(f"  [{host}] {line}", color="cyan")
                shown, shown_at = line, time.monotonic()
            time.sleep(_EVERY_SECONDS if shown else 0.4)

    def _status(self, job: str, mode: str, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        # As an action, not as a module: the module alone does not know the folder of the background jobs.
        task = self._task.copy()
        task.args = {"jid": job, "mode": mode}
        task.action = "ansible.legacy.async_status"
        task.async_val = 0
        action = self._shared_loader_obj.action_loader.get(
            "ansible.legacy.async_status",
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        found: dict[str, Any] = action.run(task_vars=task_vars)
        return found

    def _look(self, path: str) -> tuple[str, str]:
        """The progress as a line, and what the process does: unborn, runs, gone, or unknown on a host without /proc."""
        answer = self._low_level_execute_command(
            f"cat {path}; echo; cat {path}.pid && cat /proc/$(cut -d' ' -f1 {path}.pid)/stat", sudoable=True
        )
        lines = [line for line in answer.get("stdout", "").splitlines() if line]
        shown = ""
        if lines and lines[0].startswith("{"):
            with contextlib.suppress(ValueError):
                shown = _line(json.loads(lines.pop(0)))
        if not lines:
            return shown, "unborn"
        number = lines[0].split()
        if len(number) != 2:
            return shown, "unknown"
        # Of a zombie nothing is left to wait for either.
        fields = lines[1].rpartition(")")[2].split() if len(lines) > 1 else []
        return shown, "runs" if fields[19:20] == number[1:] and fields[0] != "Z" else "gone"


def _explained(status: dict[str, Any], host: str) -> dict[str, Any]:
    """A result for the operator, also where the module gave none but was ended in the middle."""
    if status.get("failed") and "cmd" in status and "data" in status:
        said = [line for line in str(status.get("stderr", "")).splitlines() if line.strip()]
        because = f" Its last words: {said[-1].strip()}" if said else ""
        return {"failed": True, "changed": False, "msg": _ENDED.format(host=host) + because}
    return status


def _line(state: dict[str, Any]) -> str:
    # The engine's own wording; the plugin runs on the controller, where the engine is a folder beside it.
    engine = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "module_utils")
    if engine not in sys.path:
        sys.path.append(engine)
    from cutover.progress import line

    text: str = line(state)
    return text
