#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find everything that stands in the way of a cutover, changing nothing."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cutover_check
short_description: Find everything that stands in the way of a cutover
description:
  - Puts every value of every row through its codec without sending it anywhere, looks for orphaned foreign keys,
    and asks the target whether it can take the rows.
  - Reports all findings at once. A finding is no failure of the module.
version_added: 0.1.0
author:
  - pg-cutover contributors
options:
  source_path:
    description: The SQLite file.
    type: path
    required: true
  plan:
    description: The plan, from M(cutover_plan).
    type: dict
    required: true
  target_url:
    description: The owner's URL of the target. Without it the target is not asked.
    type: str
  use:
    description: What the run wants of the target, as M(cutover_capabilities) takes it. The workers are those of O(workers).
    type: dict
    suboptions:
      online:
        description: Whether the cutover goes online, with a service beside the copy.
        type: bool
        default: false
      application:
        description: How many connections the application will have. 0 where none is moved.
        type: int
        default: 0
      application_user:
        description: Its role. Empty where none is moved.
        type: str
        default: ""
      make_user:
        description: Whether the run creates that role.
        type: bool
        default: false
      application_url:
        description: The application's URL where it was given.
        type: str
        default: ""
      extensions:
        description: Extensions that the run creates.
        type: list
        elements: str
        default: []
  values:
    description: Whether the source's values and foreign keys are checked.
    type: bool
    default: true
  online:
    description:
      - What the inventory says of an online cutover; without it what stands in the way of one is not looked for.
    type: dict
    suboptions:
      proxies:
        description: How many proxies it names.
        type: int
        required: true
      green:
        description: How many instances on PostgreSQL it names.
        type: int
        required: true
      name:
        description: The name of the migration, whose state folder takes the snapshot.
        type: str
        required: true
      state_dir:
        description: That folder, where it is not the usual one.
        type: path
      wal:
        description: Whether the source may be put into WAL mode.
        type: bool
        default: false
      keyless_rows:
        description: How many rows a table may have whose rows nothing names.
        type: int
        default: 10000
      rehearse:
        description: Whether the capture is tried and its cost is measured, on a scratch copy.
        type: bool
        default: true
  workers:
    description: Processes that read. 0 means one for each core.
    type: int
    default: 0
  progress_file:
    description: Where progress is written while the module runs.
    type: path
attributes:
  check_mode:
    description: Changes nothing in any case.
    support: full
"""

EXAMPLES = r"""
- name: Check every value and the target
  cutover_check:
    source_path: /srv/app/app.sqlite
    plan: "{{ planned.plan }}"
    target_url: "{{ cutover_target_url }}"
  register: checked
"""

RETURN = r"""
findings:
  description: What was found, each with the entry of the plan that settles it.
  returned: success
  type: list
  elements: dict
target:
  description: Facts about the target, empty when it was not asked or does not answer.
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.cutover import online
from ansible.module_utils.cutover.check import check_values
from ansible.module_utils.cutover.errors import Finding, TargetError
from ansible.module_utils.cutover.fitting import check_kept, check_unique
from ansible.module_utils.cutover.journal import state_dir
from ansible.module_utils.cutover.plan.model import Plan
from ansible.module_utils.cutover.structure import check_references
from ansible.module_utils.cutover.target import capabilities, catalog
from ansible.module_utils.cutover.target.connect import connect
from ansible.module_utils.cutover.target.limits import Use, use_of
from ansible.module_utils.cutover_module import LONG, PLAN, SOURCE, USE, plan_of, run, workers_of

ONLINE = {
    "proxies": {"type": "int", "required": True},
    "green": {"type": "int", "required": True},
    "name": {"type": "str", "required": True},
    "state_dir": {"type": "path"},
    "wal": {"type": "bool", "default": False},
    "keyless_rows": {"type": "int", "default": 10_000},
    "rehearse": {"type": "bool", "default": True},
}


def _target(url: str, plan: Plan, source_path: str | None, use: Use) -> tuple[dict[str, Any], list[Finding]]:
    able, told = capabilities.look(url, use, plan.schema)
    if not able:
        return {}, told
    try:
        connection = connect(url, autocommit=True)
    except TargetError as error:
        return {}, [*told, Finding("error", error.message)]
    try:
        server = catalog.inspect(connection, plan.schema, plan.name)
        own = catalog.own_tables(connection, plan.own)
        found = catalog.findings(server, own, plan.source["size_bytes"], empty=plan.mode != "existing")
        if source_path is not None and plan.mode == "existing":
            found += check_kept(source_path, connection, plan)
        return {**server.as_dict(), "capabilities": able}, found + told
    finally:
        connection.close()


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **SOURCE,
            **PLAN,
            **LONG,
            "target_url": {"type": "str", "no_log": True},
            "values": {"type": "bool", "default": True},
            "online": {"type": "dict", "options": ONLINE},
            "use": {"type": "dict", "options": USE},
        },
        supports_check_mode=True,
    )
    params = module.params

    def work() -> dict[str, Any]:
        plan = plan_of(module)
        found: list[Finding] = []
        target: dict[str, Any] = {}
        if params["target_url"]:
            use = use_of({**(params["use"] or {}), "workers": workers_of(module)})
            target, found = _target(
                params["target_url"], plan, params["source_path"] if params["values"] else None, use
            )
        if params["online"]:
            folder = state_dir(params["online"]["name"], params["online"]["state_dir"])
            found += online.check(params["source_path"], plan, online.asked({**params["online"], "folder": folder}))
        if params["values"]:
            found += check_references(params["source_path"], plan)
            if plan.mode == "existing":
                found += check_unique(params["source_path"], plan)
            found += check_values(params["source_path"], plan, workers_of(module), params["progress_file"])
        return {"findings": [finding.as_dict() for finding in found], "target": target, "changed": False}

    run(module, work)


if __name__ == "__main__":
    main()
