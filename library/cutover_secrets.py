#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Describes the action of the same name; what it does, it does on the controller (action_plugins/cutover_secrets.py)."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cutover_secrets
short_description: Find, make and rotate the passwords of a migration on the controller
description:
  - A password is what the inventory gives, else what is kept, else a new one that is kept from then on.
  - They are kept in a folder on the controller (0700, a file of 0600 for each), or elsewhere by the caller, who hands over
    what is there and does what the result says.
  - Every password is judged before one is made. One that clients would not agree on is refused, with a message that holds no
    part of it. Rights that are too wide are narrowed, which a note says; a folder that everybody can write is refused.
  - The result holds passwords, so the task needs C(no_log).
version_added: 0.1.0
author:
  - pg-cutover contributors
options:
  action:
    description:
      - C(find) finds each of O(wanted), and makes those that are missing.
      - C(begin) also makes the password that comes, C(<name>.next), for each of O(names) whose rotation is not under way.
      - C(promote) puts the one that comes in the place of the other, which stays as C(<name>.former).
      - C(forget) removes the former one.
    type: str
    choices: [find, begin, promote, forget]
    default: find
  directory:
    description: The folder on the controller. Needed without O(held).
    type: path
  held:
    description: What is kept elsewhere, by name, with the companions C(.next) and C(.former).
    type: dict
  place:
    description: Where that is, for messages.
    type: str
    default: the store
  wanted:
    description: The passwords by name; each is the given one, or empty.
    type: dict
    required: true
  names:
    description: Those of O(wanted) that are rotated. Given ones are left out, as the inventory decides about them.
    type: list
    elements: str
    default: []
  variables:
    description: By which variable a password is given, for messages.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Makes and changes none. Of a password that is missing, it returns a passing one.
    support: full
"""

EXAMPLES = r"""
- name: Find the passwords
  cutover_secrets:
    directory: /srv/ansible/.secrets/shop
    wanted:
      owner_password: ""
      app_password: "{{ vault_app_password }}"
    variables:
      app_password: vault_app_password
  register: found
  no_log: true
"""

RETURN = r"""
secrets:
  description: The passwords by name.
  returned: success
  type: dict
coming:
  description: Those that come, of the rotations that have begun.
  returned: success
  type: dict
former:
  description: Those that were, of the rotations that have not ended.
  returned: success
  type: dict
given:
  description: The names of those that the inventory gives.
  returned: success
  type: list
  elements: str
notes:
  description: What was put right, for the operator; no passwords.
  returned: success
  type: list
  elements: str
put:
  description: With O(held), what the caller has to keep, in this order, as C(name) and C(value).
  returned: success
  type: list
  elements: dict
remove:
  description: With O(held), the names that the caller has to remove after that.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    """Never reached by way of a playbook: the action of this name does the work."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.fail_json(msg="cutover_secrets works on the controller only; action_plugins is not on Ansible's path.")


if __name__ == "__main__":
    main()
