#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy every row from SQLite to PostgreSQL."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cutover_copy
short_description: Copy every row from SQLite to PostgreSQL
description:
  - Streams key ranges of all tables through COPY, in parallel. Each range is committed together with its record, so
    that a killed run goes on where it stopped.
  - Stops at the first value that cannot be carried exactly.
version_added: 0.1.0
author:
  - pg-cutover contributors
options:
  name:
    description: The name of the migration.
    type: str
    required: true
  state_dir:
    description: The folder of the migration's state on this host.
    type: path
  source_path:
    description: The SQLite file, fenced, or a snapshot of it.
    type: path
    required: true
  position:
    description: Names the contents of the file. Another position than that of an earlier copy starts over.
    type: str
    required: true
  plan:
    description: The plan, from M(cutover_plan).
    type: dict
    required: true
  target_url:
    description: The owner's URL of the target.
    type: str
    required: true
  captured_path:
    description:
      - The source, where it logs its changes while no service follows them yet. Should the log be lost meanwhile, its triggers
        are taken out at once, because the application's writes would fail by them, and the module fails.
    type: path
  workers:
    description: Processes that copy. 0 means one for each core.
    type: int
    default: 0
  progress_file:
    description: Where progress is written while the module runs.
    type: path
  replace:
    description: Replace the tables also when they hold a finished copy.
    type: bool
    default: false
  start_over:
    description: Make a finished copy anew, even of the same contents.
    type: bool
    default: false
attributes:
  check_mode:
    description: Says that it would copy, without asking the target.
    support: full
"""

EXAMPLES = r"""
- name: Copy every row
  cutover_copy:
    name: app
    source_path: /srv/app/app.sqlite
    position: "{{ fenced.id }}"
    plan: "{{ planned.plan }}"
    target_url: "{{ cutover_target_url }}"
"""

RETURN = r"""
tables:
  description: By table, the rows and bytes that were sent and the seconds that took, added up over all workers.
  returned: success
  type: dict
rules:
  description: By column and rule in the plan, the number of values that it touched.
  returned: success
  type: list
  elements: dict
quarantined:
  description: By table, the rows set aside in pgcutover.quarantine, the first keys and the reason of the first.
  returned: success
  type: list
  elements: dict
resumed:
  description: Whether an earlier run had begun this copy.
  returned: success
  type: bool
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.cutover import bulk
from ansible.module_utils.cutover.capture.watch import watched
from ansible.module_utils.cutover.journal import make_state_dir, state_dir
from ansible.module_utils.cutover.lock import EngineLock
from ansible.module_utils.cutover_module import LONG, PLAN, SOURCE, STATE, TARGET, plan_of, run, workers_of


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **STATE,
            **SOURCE,
            **PLAN,
            **TARGET,
            **LONG,
            "position": {"type": "str", "required": True},
            "replace": {"type": "bool", "default": False},
            "start_over": {"type": "bool", "default": False},
            "captured_path": {"type": "path"},
        },
        supports_check_mode=True,
    )
    params = module.params

    def work() -> dict[str, Any]:
        plan = plan_of(module)
        if module.check_mode:
            return {"tables": {}, "rules": [], "quarantined": [], "resumed": False, "changed": True}
        folder = state_dir(params["name"], params["state_dir"])
        make_state_dir(folder)
        with watched(params["captured_path"]), EngineLock(folder):
            copied = bulk.copy(
                params["source_path"],
                params["target_url"],
                plan,
                params["position"],
                workers_of(module),
                params["progress_file"],
                params["replace"],
                params["start_over"],
            )
        return {**copied, "changed": copied["sent"]}

    run(module, work)


if __name__ == "__main__":
    main()
