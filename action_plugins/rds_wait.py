# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits until RDS is done, and shows meanwhile what it says."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

#: A state that does not change is shown again after so many seconds.
_SHOW_SECONDS = 60.0
#: The server can be used. Storage that was just made larger is sorted out in the background, for hours.
_DONE = {"available", "storage-optimization"}
#: Nobody comes out of these by waiting.
_STUCK = {
    "failed": "AWS could not make it; its events say why",
    "incompatible-network": "its subnets or addresses no longer fit",
    "incompatible-parameters": "a parameter keeps PostgreSQL from starting; take it out of rds_parameters",
    "incompatible-option-group": "its option group does not fit",
    "incompatible-restore": "it cannot be restored to that moment",
    "insufficient-capacity": "AWS has no such machine left in its zones; choose another instance class",
    "inaccessible-encryption-credentials": "its KMS key cannot be used",
    "inaccessible-encryption-credentials-recoverable": "its KMS key cannot be used; enable it",
    "restore-error": "AWS could not restore it",
    "storage-full": "its storage is full; raise rds_allocated_storage",
    "stopped": "start it",
    "stopping": "start it once it has stopped",
    "deleting": "somebody deletes it",
}

display = Display()


class ActionModule(ActionBase):
    """Asks the service through the collection's modules."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Wait; return the last states."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if self._task.check_mode:
            return {"changed": False, "states": {}}
        timeout, poll = float(arguments.get("timeout") or 3600), float(arguments.get("poll") or 15)
        access = {key: arguments[key] for key in ("region", "profile") if arguments.get(key)}
        began, shown, shown_at = time.monotonic(), "", 0.0
        while True:
            found = self._ask(arguments, access, task_vars)
            if found.get("failed"):
                return found
            states: dict[str, str] = found["states"]
            passed = time.monotonic() - began
            problem = _stuck(states)
            if not problem and passed > timeout and not _done(states):
                problem = (
                    f"{_line(states, only_open=True)} after {timeout:.0f} s (rds_timeout). AWS goes on with it: run again, "
                    "which waits further, or look at its events in the AWS console."
                )
            if problem:
                return {"failed": True, "changed": False, "states": states, "msg": problem}
            line = _line(states)
            if line != shown or time.monotonic() - shown_at >= _SHOW_SECONDS:
                display.display(f"  [RDS, {passed:.0f} s] {line}", color="cyan")
                shown, shown_at = line, time.monotonic()
            if _done(states):
                return {"changed": False, "states": states}
            time.sleep(max(0.1, min(poll, began + timeout + 0.1 - time.monotonic())))

    def _ask(
        self, arguments: dict[str, Any], access: dict[str, Any], task_vars: dict[str, Any] | None
    ) -> dict[str, Any]:
        """The states, or the failure of the module that asked."""
        states: dict[str, str] = {}
        if arguments.get("cluster"):
            answer = self._execute_module(
                module_name="amazon.aws.rds_cluster_info",
                module_args={"db_cluster_identifier": arguments["cluster"], **access},
                task_vars=task_vars,
            )
            if answer.get("failed"):
                return answer
            states[f"cluster {arguments['cluster']}"] = _state(answer["clusters"], "status")
        for name in arguments["instances"]:
            answer = self._execute_module(
                module_name="amazon.aws.rds_instance_info",
                module_args={"db_instance_identifier": name, **access},
                task_vars=task_vars,
            )
            if answer.get("failed"):
                return answer
            states[name] = _state(answer["instances"], "db_instance_status")
        return {"states": states}


def _state(found: list[dict[str, Any]], key: str) -> str:
    if not found:
        return "not there yet"
    state = str(found[0][key])
    # A change that was accepted but not begun leaves the state alone for some seconds.
    if state in _DONE and "db_instance_class" in (found[0].get("pending_modified_values") or {}):
        return "available, a new instance class to come"
    return state


def _done(states: dict[str, str]) -> bool:
    return all(state in _DONE for state in states.values())


def _line(states: dict[str, str], only_open: bool = False) -> str:
    return ", ".join(f"{name}: {state}" for name, state in states.items() if not only_open or state not in _DONE)


def _stuck(states: dict[str, str]) -> str:
    for name, state in states.items():
        if state in _STUCK:
            return f"{name} is in the state {state}: {_STUCK[state]}. Then run again."
    return ""
