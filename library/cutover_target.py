#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Describe the tables that the application's own migrations made in PostgreSQL."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cutover_target
short_description: Describe the application's own tables in PostgreSQL
description:
  - Reads PostgreSQL's catalog - tables, columns with type, nullability, default, identity and sequence, enums and domains, keys,
    foreign keys, indexes, checks, triggers, and how many rows the tables hold.
  - What a load has set aside for the time being is described as if it were there, and rows that a load brought are not counted,
    so that the description is the same before, during and after a load.
  - Changes nothing.
version_added: 0.2.0
author:
  - pg-cutover contributors
options:
  target_url:
    description: The owner's URL of the target.
    type: str
    required: true
  schema:
    description: The schema of the application's tables.
    type: str
    default: public
attributes:
  check_mode:
    description: Changes nothing in any case.
    support: full
"""

EXAMPLES = r"""
- name: Describe the application's tables
  cutover_target:
    target_url: "{{ cutover_target_url }}"
  register: described
"""

RETURN = r"""
target:
  description: The schema and its tables, as M(cutover_plan) takes them.
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.cutover.target.connect import connect, explain
from ansible.module_utils.cutover.target.describe import describe
from ansible.module_utils.cutover_module import SCHEMA, TARGET, run


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={**TARGET, **SCHEMA}, supports_check_mode=True)
    params = module.params

    def work() -> dict[str, Any]:
        connection = connect(params["target_url"])
        try:
            # One snapshot of the catalog and of the rows.
            connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
            described = describe(connection, params["schema"])
        except connection.Error as error:
            raise explain(error, "The application's tables cannot be described") from None
        finally:
            connection.close()
        return {"target": described.as_dict(), "changed": False}

    run(module, work)


if __name__ == "__main__":
    main()
