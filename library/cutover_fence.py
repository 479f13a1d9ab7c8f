#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Close a SQLite database to writes, or open it again."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cutover_fence
short_description: Close a SQLite database to writes, or open it again
description:
  - C(fenced) creates triggers on every table that refuse INSERT, UPDATE and DELETE, in one transaction that holds the
    write lock. A connection that is open already gets the error as well.
  - C(open) drops them. C(read) only tells whether there is a fence.
version_added: 0.1.0
author:
  - pg-cutover contributors
options:
  source_path:
    description: The SQLite file.
    type: path
    required: true
  state:
    description: Whether the source refuses writes.
    type: str
    choices: [fenced, open, read]
    required: true
  id:
    description: A name for the contents that the fence keeps, such as the run. Letters, digits and dashes.
    type: str
attributes:
  check_mode:
    description: Returns the statements without running them.
    support: full
"""

EXAMPLES = r"""
- name: Close the source to writes
  cutover_fence:
    source_path: /srv/app/app.sqlite
    state: fenced
    id: 20261122T200000-1f2e
"""

RETURN = r"""
id:
  description: The identifier of the fence that stands, empty when there is none.
  returned: success
  type: str
queries:
  description: The statements that were run, or would be in check mode.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.cutover.source.connect import open_readonly
from ansible.module_utils.cutover.source.fence import fence_id, lift_fence, raise_fence
from ansible.module_utils.cutover_module import SOURCE, run


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **SOURCE,
            "state": {"type": "str", "choices": ["fenced", "open", "read"], "required": True},
            "id": {"type": "str"},
        },
        required_if=[("state", "fenced", ["id"])],
        supports_check_mode=True,
    )
    params = module.params

    def work() -> dict[str, Any]:
        queries: list[str] = []
        if params["state"] == "fenced":
            queries = raise_fence(params["source_path"], params["id"], module.check_mode)
        elif params["state"] == "open":
            queries = lift_fence(params["source_path"], module.check_mode)
        connection = open_readonly(params["source_path"])
        try:
            standing = fence_id(connection)
        finally:
            connection.close()
        return {"id": standing or "", "queries": queries, "changed": bool(queries)}

    run(module, work)


if __name__ == "__main__":
    main()
