#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at the sources of a fleet on their host."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cutover_tenant_files
short_description: Look at the sources of a fleet on their host
description:
  - Finds the SQLite files that a pattern matches, and says of each named source whether its file is there and is a SQLite
    file, and how far its migration is.
  - Changes nothing.
version_added: 0.2.0
author:
  - pg-cutover contributors
options:
  pattern:
    description: A pattern of paths, for example C(/srv/tenants/*/app.sqlite).
    type: str
    default: ""
  tenants:
    description: The sources to look at, each a dictionary of C(tenant), C(path), C(name) and C(state_dir).
    type: list
    elements: dict
    default: []
attributes:
  check_mode:
    description: Only reads.
    support: full
"""

EXAMPLES = r"""
- name: Find the tenants' files
  cutover_tenant_files:
    pattern: /srv/tenants/*/app.sqlite
"""

RETURN = r"""
found:
  description: The files that the pattern matches.
  returned: success
  type: list
  elements: str
looked:
  description: For each tenant C(problem) (empty when there is none), C(real), C(stage) and C(unchanged).
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.cutover.fleet import look


def main() -> None:
    """Look."""
    module = AnsibleModule(
        argument_spec={
            "pattern": {"type": "str", "default": ""},
            "tenants": {"type": "list", "elements": "dict", "default": []},
        },
        supports_check_mode=True,
    )
    pattern = module.params["pattern"]
    module.exit_json(
        changed=False,
        found=look.found(pattern) if pattern else [],
        looked={
            each["tenant"]: look.look(each["path"], each["name"], each.get("state_dir") or None)
            for each in module.params["tenants"]
        },
    )


if __name__ == "__main__":
    main()
