#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Log what the application writes to PostgreSQL, so that it can be carried back."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cutover_reverse
short_description: Log what the application writes to PostgreSQL, so that it can be carried back
description:
  - Installs triggers and an outbox, which hold the keys of changed rows until the way back has taken them, or removes them.
  - What is written while PostgreSQL follows the source is not logged.
version_added: 0.2.0
author:
  - pg-cutover contributors
options:
  state:
    description: Whether the triggers are there.
    type: str
    choices: [present, absent]
    required: true
  plan:
    description: The plan, from M(cutover_plan). Required when I(state=present).
    type: dict
  target_url:
    description: The owner's URL of the target.
    type: str
    required: true
  schema:
    description: The schema of the application's tables. Where the migration keeps its own follows from it.
    type: str
    default: public
  name:
    description: The name of the migration. Needed when I(state=absent).
    type: str
attributes:
  check_mode:
    description: Returns the statements without running them.
    support: full
"""

EXAMPLES = r"""
- name: Prepare the way back
  cutover_reverse:
    state: present
    plan: "{{ planned.plan }}"
    target_url: "{{ cutover_target_url }}"
"""

RETURN = r"""
queries:
  description: The statements that were run, or would be in check mode.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.cutover.reverse import capture
from ansible.module_utils.cutover.target.connect import connect
from ansible.module_utils.cutover_module import SCHEMA, TARGET, plan_of, run


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **TARGET,
            **SCHEMA,
            "name": {"type": "str"},
            "plan": {"type": "dict"},
            "state": {"type": "str", "choices": ["present", "absent"], "required": True},
        },
        required_if=[("state", "present", ["plan"]), ("state", "absent", ["name"])],
        supports_check_mode=True,
    )

    def work() -> dict[str, Any]:
        connection = connect(module.params["target_url"])
        try:
            if module.params["state"] == "present":
                queries = capture.install(connection, plan_of(module), module.check_mode)
            else:
                queries = capture.remove(connection, module.params["schema"], module.params["name"], module.check_mode)
        finally:
            connection.close()
        return {"queries": queries, "changed": bool(queries)}

    run(module, work)


if __name__ == "__main__":
    main()
