#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find out what a role may do in PostgreSQL, and what stands in between."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cutover_capabilities
short_description: Find out what a role may do in PostgreSQL, and what stands in between
description:
  - Recognises a connection pooler by its address and by how it behaves, and refuses one that shares sessions, with the address
    to use instead.
  - Asks for version, encoding, rights, extensions, TLS, read-only sessions, and whether the connections that the run needs fit
    into the limits of role, database and server.
  - Reports all findings at once, and fails when one is an error.
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
  workers:
    description: Processes that copy. 0 means one for each core.
    type: int
    default: 0
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
attributes:
  check_mode:
    description: Changes nothing in any case.
    support: full
"""

EXAMPLES = r"""
- name: Find out what the role may do
  cutover_capabilities:
    target_url: "{{ provider_target_url }}"
    application_user: shop_app
    make_user: true
    application: 11
"""

RETURN = r"""
findings:
  description: What was found.
  returned: always
  type: list
  elements: dict
capabilities:
  description: What the role may do, and the limits.
  returned: success
  type: dict
"""

from contextlib import closing
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.cutover.errors import CutoverError
from ansible.module_utils.cutover.target import capabilities, catalog
from ansible.module_utils.cutover.target.connect import connect
from ansible.module_utils.cutover.target.limits import use_of
from ansible.module_utils.cutover_module import SCHEMA, TARGET, USE, run, workers_of


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **TARGET,
            **USE,
            **SCHEMA,
            "workers": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    params = module.params

    def work() -> dict[str, Any]:
        use = use_of({**params, "workers": workers_of(module)})
        able, found = capabilities.look(params["target_url"], use, params["schema"])
        if able:
            with closing(connect(params["target_url"], autocommit=True)) as connection:
                server = catalog.inspect(connection, params["schema"])
                found = catalog.findings(server, (), 0, empty=False) + found
        errors = [finding for finding in found if finding.severity == "error"]
        if errors:
            more = f" ({len(errors)} findings stand in the way)" if len(errors) > 1 else ""
            raise CutoverError(f"{errors[0].message}{more}", found)
        return {"capabilities": able, "findings": [finding.as_dict() for finding in found], "changed": False}

    run(module, work)


if __name__ == "__main__":
    main()
