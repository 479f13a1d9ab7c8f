# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules share: arguments, the plan, and how the engine's errors reach the operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.cutover import workers as engine_workers
from ansible.module_utils.cutover.errors import CutoverError, PlanError, Refused
from ansible.module_utils.cutover.plan import model
from ansible.module_utils.cutover.progress import leave_number

SOURCE = {"source_path": {"type": "path", "required": True}}
TARGET = {"target_url": {"type": "str", "required": True, "no_log": True}}
PLAN = {"plan": {"type": "dict", "required": True}}
STATE = {"name": {"type": "str", "required": True}, "state_dir": {"type": "path"}}
#: What the run wants of the target: see target.capabilities.Use.
#: Of the application's tables in the target: where the migration keeps its own follows from it.
SCHEMA = {"schema": {"type": "str", "default": "public"}}
USE = {
    "online": {"type": "bool", "default": False},
    "application": {"type": "int", "default": 0},
    "application_user": {"type": "str", "default": ""},
    "make_user": {"type": "bool", "default": False},
    "application_url": {"type": "str", "default": "", "no_log": True},
    "extensions": {"type": "list", "elements": "str", "default": []},
}
LONG = {"workers": {"type": "int", "default": 0}, "progress_file": {"type": "path"}}


def plan_of(module: AnsibleModule) -> model.Plan:
    """The plan among the module's parameters. Raises PlanError."""
    try:
        return model.from_dict(module.params["plan"])
    except (KeyError, TypeError) as error:
        raise PlanError(
            f"the plan is incomplete or of another version of pg-cutover ({error}); derive it again."
        ) from None


def workers_of(module: AnsibleModule) -> int:
    """The wanted number of worker processes; 0 means one for each core."""
    return int(module.params["workers"]) or engine_workers.default_workers()


def run(module: AnsibleModule, work: Callable[[], dict[str, Any]]) -> None:
    """Exit with what ``work`` returns, or fail with the engine's one clear message."""
    try:
        if module.params.get("progress_file"):
            leave_number(module.params["progress_file"])
        result = work()
    except CutoverError as error:
        findings = [finding.as_dict() for finding in error.findings]
        refused = [
            {
                "table": finding["table"],
                "column": finding["column"],
                "key": finding["key"],
                "value": finding["value"],
                "reason": finding["message"],
                "decide": finding["decide"],
            }
            for finding in findings
        ]
        module.fail_json(
            msg=error.message,
            findings=findings,
            refused=refused,
            refusal=isinstance(error, Refused),
            holder=getattr(error, "holder", {}),
            changed=False,
        )
    else:
        module.exit_json(**result)
