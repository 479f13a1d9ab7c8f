#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Derive the plan of a migration."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cutover_plan
short_description: Derive the plan of a migration
description:
  - Decides, for every table and column, what becomes of it in PostgreSQL, from what M(cutover_profile) returned
    and from what the operator decided.
  - Runs on the controller and writes the plan as YAML, for review.
version_added: 0.1.0
author:
  - pg-cutover contributors
options:
  name:
    description: The name of the migration.
    type: str
    required: true
  description:
    description: The structure of the source, from M(cutover_profile).
    type: dict
    required: true
  profiles:
    description: The profiles of its tables, from M(cutover_profile).
    type: dict
    required: true
  overrides:
    description: The operator's decisions, C(cutover_plan_overrides).
    type: dict
    default: {}
  ids:
    description:
      - What becomes of integer primary keys and of what refers to them, where the overrides do not say it for a table.
      - V(uuid) makes version 5 UUIDs of them, the same in each run.
    type: str
    choices: [keep, uuid]
    default: keep
  target:
    description:
      - The application's own tables in PostgreSQL, from M(cutover_target). With them the plan loads into these tables as they
        are (C(cutover_schema=existing)); without, it makes tables of its own.
    type: dict
  path:
    description: The file that the plan is written to. Without it the plan is only returned.
    type: path
attributes:
  check_mode:
    description: Derives the plan without writing it.
    support: full
  diff_mode:
    description: Shows the plan before and after.
    support: full
"""

EXAMPLES = r"""
- name: Derive the plan
  cutover_plan:
    name: app
    description: "{{ profiled.description }}"
    profiles: "{{ profiled.profiles }}"
    overrides:
      tables:
        users:
          columns:
            born: {codec: text, type: text}
    path: reports/app/plan.yml
  delegate_to: localhost
"""

RETURN = r"""
plan:
  description: The plan, as the hosts need it.
  returned: success
  type: dict
fingerprint:
  description: SHA-256 of what decides the target's structure and contents.
  returned: success
  type: str
findings:
  description: What the structure and the profile give rise to.
  returned: success
  type: list
  elements: dict
"""

import os
from typing import Any

import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.cutover.errors import PlanError
from ansible.module_utils.cutover.plan.derive import derive
from ansible.module_utils.cutover.plan.existing import derive_existing
from ansible.module_utils.cutover.source import model as source_model
from ansible.module_utils.cutover.source import profile as source_profile
from ansible.module_utils.cutover.target import model as target_model
from ansible.module_utils.cutover_module import run

_HEAD = """\
# The plan of the migration: what becomes of every table and column. It is derived anew on each run;
# to change it, put your decisions into cutover_plan_overrides.
"""


def _yaml(plan: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(plan, sort_keys=False, allow_unicode=True, width=120)
    return _HEAD + text


def _write(module: AnsibleModule, path: str, text: str) -> tuple[bool, dict[str, str]]:
    """Write the plan if it is not there yet; (changed, diff)."""
    before = ""
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            before = file.read()
    if before != text and not module.check_mode:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        temporary = os.path.join(module.tmpdir, "plan.yml")
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
        module.atomic_move(temporary, path)
    return before != text, {"before": before, "after": text, "before_header": path, "after_header": path}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "description": {"type": "dict", "required": True},
            "profiles": {"type": "dict", "required": True},
            "overrides": {"type": "dict", "default": {}},
            "ids": {"type": "str", "choices": ["keep", "uuid"], "default": "keep"},
            "target": {"type": "dict"},
            "path": {"type": "path"},
        },
        supports_check_mode=True,
    )
    params = module.params

    def work() -> dict[str, Any]:
        profiles = {name: source_profile.from_dict(data) for name, data in params["profiles"].items()}
        source = source_model.from_dict(params["description"])
        if params["target"]:
            if params["ids"] != "keep":
                raise PlanError(
                    "cutover_ids: uuid needs cutover_schema: derive; tables that exist keep the keys they declare."
                )
            target = target_model.from_dict(params["target"])
            plan, findings = derive_existing(params["name"], source, profiles, params["overrides"], target)
        else:
            plan, findings = derive(params["name"], source, profiles, params["overrides"], params["ids"])
        result: dict[str, Any] = {
            "plan": plan.as_dict(),
            "fingerprint": plan.fingerprint(),
            "findings": [finding.as_dict() for finding in findings],
            "changed": False,
        }
        if params["path"]:
            result["changed"], result["diff"] = _write(module, params["path"], _yaml(plan.as_dict()))
        return result

    run(module, work)


if __name__ == "__main__":
    main()
