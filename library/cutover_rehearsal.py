#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure what an online cutover would meet, while PostgreSQL follows the source."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cutover_rehearsal
short_description: Measure what an online cutover would meet
description:
  - Watches the replication that M(cutover_replication) set up, under the application's own load, and says how fast the
    source changes, how fast PostgreSQL takes that in, how long a critical section would be, and how the change log grows.
version_added: 0.2.0
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
    description: The SQLite file.
    type: path
    required: true
  plan:
    description: The plan, from M(cutover_plan).
    type: dict
    required: true
  seconds:
    description: How long it is watched.
    type: float
    default: 60
attributes:
  check_mode:
    description: Measures nothing; nothing follows then.
    support: full
"""

EXAMPLES = r"""
- name: Measure for a minute
  cutover_rehearsal:
    name: app-rehearsal
    source_path: /srv/app/app.sqlite
    plan: "{{ planned.plan }}"
"""

RETURN = r"""
measured:
  description:
    - C(seconds) of watching. C(changes) that the application made, and C(changes_per_second). C(applied) and
      C(applied_per_second) by PostgreSQL, C(highest_rate) at most.
    - C(lag_changes) and C(lag_seconds), the largest lag. C(hold_ms) and C(hold_ms_most), the critical section as predicted.
    - C(throttled_seconds) and the C(reason) for them. C(log_bytes_per_change) and C(log_bytes_per_hour).
  returned: success, not in check mode
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.cutover import rehearsal
from ansible.module_utils.cutover.journal import state_dir
from ansible.module_utils.cutover_module import PLAN, SOURCE, STATE, plan_of, run


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={**STATE, **SOURCE, **PLAN, "seconds": {"type": "float", "default": 60}},
        supports_check_mode=True,
    )
    params = module.params

    def work() -> dict[str, Any]:
        if module.check_mode:
            return {"changed": False}
        folder = state_dir(params["name"], params["state_dir"])
        measured = rehearsal.measure(folder, params["source_path"], plan_of(module), params["seconds"])
        return {"measured": measured, "changed": False}

    run(module, work)


if __name__ == "__main__":
    main()
