#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let the application write to PostgreSQL, or keep it from writing."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cutover_access
short_description: Let the application write to PostgreSQL, or keep it from writing
description:
  - C(open) grants the application's role SELECT, INSERT, UPDATE and DELETE on the plan's tables and notes that the
    database is in use; from then on no run replaces its tables.
  - C(readers) grants SELECT on the plan's tables, so that the application can be tried before it may write.
  - C(closed) waits for the application's transactions in flight and takes the rights to write away.
  - C(read) tells since when the application may write, and what was written since, by PostgreSQL's statistics.
version_added: 0.1.0
author:
  - pg-cutover contributors
options:
  state:
    description: Whether the application may write.
    type: str
    choices: [open, closed, readers, read]
    required: true
  plan:
    description: The plan, from M(cutover_plan). Needed for everything but I(state=read).
    type: dict
  name:
    description: The name of the migration. Needed when I(state=read).
    type: str
  target_url:
    description: The owner's URL of the target.
    type: str
    required: true
  schema:
    description: The schema of the application's tables. Where the migration keeps its own follows from it.
    type: str
    default: public
  role:
    description: The application's role. Needed when I(state) is open or readers.
    type: str
attributes:
  check_mode:
    description: Returns the statements without running them.
    support: full
"""

EXAMPLES = r"""
- name: Let the application write to PostgreSQL
  cutover_access:
    state: open
    plan: "{{ planned.plan }}"
    target_url: "{{ cutover_target_url }}"
    role: app_app
"""

RETURN = r"""
queries:
  description: The statements that were run, or would be in check mode.
  returned: when I(state) is open, closed or readers
  type: list
  elements: str
in_use_since:
  description: Since when the application may write, in UTC; empty when it may not.
  returned: when I(state=read)
  type: str
writes:
  description: By table, the rows written since the switch; null when a crash of the server has emptied its statistics.
  returned: when I(state=read)
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.cutover.access import admit_readers, close_access, open_access, read_access
from ansible.module_utils.cutover.target.connect import connect
from ansible.module_utils.cutover_module import SCHEMA, TARGET, plan_of, run


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **TARGET,
            **SCHEMA,
            "plan": {"type": "dict"},
            "name": {"type": "str"},
            "state": {"type": "str", "choices": ["open", "closed", "readers", "read"], "required": True},
            "role": {"type": "str"},
        },
        required_if=[
            ("state", "open", ["role", "plan"]),
            ("state", "readers", ["role", "plan"]),
            ("state", "closed", ["plan"]),
            ("state", "read", ["name"]),
        ],
        supports_check_mode=True,
    )
    params = module.params

    def work() -> dict[str, Any]:
        connection = connect(params["target_url"])
        try:
            if params["state"] == "read":
                return {**read_access(connection, params["schema"], params["name"]), "changed": False}
            if params["state"] == "readers":
                queries = admit_readers(connection, plan_of(module), params["role"], module.check_mode)
            elif params["state"] == "open":
                queries = open_access(connection, plan_of(module), params["role"], module.check_mode)
            else:
                queries = close_access(connection, plan_of(module), module.check_mode)
        finally:
            connection.close()
        return {"queries": queries, "changed": bool(queries)}

    run(module, work)


if __name__ == "__main__":
    main()
