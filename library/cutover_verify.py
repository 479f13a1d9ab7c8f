#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare every row of SQLite and PostgreSQL."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cutover_verify
short_description: Compare every row of SQLite and PostgreSQL
description:
  - Compares digests of canonical text that each side computes for itself, PostgreSQL from the rows that it reads back,
    under one snapshot. A difference is followed down to the row and the column.
  - A difference is a result, not a failure of the module; look at I(ok).
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
    description: The SQLite file that was copied.
    type: path
    required: true
  plan:
    description: The plan that it was copied by.
    type: dict
    required: true
  target_url:
    description: The owner's URL of the target.
    type: str
    required: true
  workers:
    description: Processes that compare. 0 means one for each core.
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
- name: Compare every row
  cutover_verify:
    name: app
    source_path: /srv/app/app.sqlite
    plan: "{{ planned.plan }}"
    target_url: "{{ cutover_target_url }}"
  register: verified
"""

RETURN = r"""
ok:
  description: Whether every row is on both sides and equal.
  returned: success
  type: bool
tables:
  description: For each table the rows of both sides, the differing ones, the checksum and the seconds it took.
  returned: success
  type: list
  elements: dict
differences:
  description: The first differences of each table, with key, column and both values.
  returned: success
  type: list
  elements: dict
"""

import contextlib
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.cutover import checksum
from ansible.module_utils.cutover.journal import make_state_dir, state_dir
from ansible.module_utils.cutover.lock import EngineLock
from ansible.module_utils.cutover_module import LONG, PLAN, SOURCE, STATE, TARGET, plan_of, run, workers_of


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={**STATE, **SOURCE, **PLAN, **TARGET, **LONG}, supports_check_mode=True)
    params = module.params

    def work() -> dict[str, Any]:
        plan = plan_of(module)
        folder = state_dir(params["name"], params["state_dir"])
        if not module.check_mode:
            make_state_dir(folder)
        # It only reads; but what a killed run left behind is ended first, to have the machine for itself.
        with contextlib.nullcontext() if module.check_mode else EngineLock(folder):
            found = checksum.verify(
                params["source_path"], params["target_url"], plan, workers_of(module), params["progress_file"]
            )
        return {**found, "changed": False}

    run(module, work)


if __name__ == "__main__":
    main()
