#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide which tenants a fleet has, and prepare a run of its own for each."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cutover_tenants
short_description: Decide which tenants a fleet has, and prepare a run of its own for each
description:
  - Reads C(cutover_tenants), C(cutover_tenants_path) and C(cutover_tenants_hosts), and refuses what two tenants must not share.
  - With I(state=ready) it writes for each tenant an inventory with its variables, in a folder that only its owner can
    read, and returns the commands to run. Variables are not resolved there; what Ansible Vault protects stays encrypted.
  - All of it is done by the action plugin of the same name, on the controller.
version_added: 0.2.0
author:
  - pg-cutover contributors
options:
  state:
    description: C(resolved) says which tenants there are; C(ready) also checks them and prepares their runs.
    type: str
    choices: [resolved, ready]
    required: true
  playbook:
    description: The playbook to run for each, with its path.
    type: path
    required: true
  found:
    description: What the hosts of the sources found for C(cutover_tenants_path), a list of paths for each host.
    type: dict
    default: {}
  looked:
    description: What they say of each tenant's file, as C(cutover_tenant_files) returns it.
    type: dict
    default: {}
  unseen:
    description: Why a host could say nothing.
    type: dict
    default: {}
  only:
    description: The tenants to run for; empty means all.
    type: list
    elements: str
    default: []
  forks:
    description: How many run at once.
    type: int
    default: 5
attributes:
  check_mode:
    description: The runs are prepared with C(--check).
    support: full
"""

EXAMPLES = r"""
- name: Find out which tenants there are
  cutover_tenants:
    state: resolved
    playbook: "{{ playbook_dir }}/migrate.yml"
"""

RETURN = r"""
tenants:
  description: For each its C(tenant), C(host), C(path), C(name) and C(state_dir).
  returned: success
  type: list
  elements: dict
fleet:
  description: What the module C(cutover_fleet) needs.
  returned: when I(state=ready)
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    """Only the action plugin knows the inventory."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.fail_json(msg="cutover_tenants works as an action plugin only; action_plugins/ is not on Ansible's path.")


if __name__ == "__main__":
    main()
