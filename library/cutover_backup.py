#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a consistent, checked copy of a SQLite database."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cutover_backup
short_description: Make a consistent, checked copy of a SQLite database
description:
  - Copies the database by SQLite's backup API while it may be in use, runs integrity_check on the copy and computes its
    SHA-256. A copy that was made of the file as it is now is kept.
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
  kind:
    description:
      - Whether the copy is the C(backup) that is kept, the C(snapshot) that rows are copied from, or the C(proof) that
        PostgreSQL is compared with while it follows the source.
    type: str
    choices: [backup, snapshot, proof]
    default: backup
  followed:
    description:
      - Keep a copy of an earlier state of the source if all changes since are in the source's change log, so that what was
        copied from it can be brought up to date.
    type: bool
    default: false
  source_path:
    description: The SQLite file. Needed when I(state=present).
    type: path
  captured_path:
    description:
      - The source, where it logs its changes while no service follows them yet. Should the log be lost meanwhile, its triggers
        are taken out at once, because the application's writes would fail by them, and the module fails.
    type: path
  state:
    description: Whether the copy is there.
    type: str
    choices: [present, absent]
    default: present
  progress_file:
    description: Where progress is written while the module runs.
    type: path
  workers:
    description: Has no effect; the copy is made by one process.
    type: int
    default: 0
attributes:
  check_mode:
    description: Says whether a copy would be made or removed.
    support: full
"""

EXAMPLES = r"""
- name: Back up the source
  cutover_backup:
    name: app
    source_path: /srv/app/app.sqlite
"""

RETURN = r"""
path:
  description: The copy.
  returned: success
  type: str
bytes:
  description: Its size.
  returned: when present
  type: int
sha256:
  description: Its SHA-256.
  returned: when present
  type: str
created:
  description: When it was made, in UTC.
  returned: when present
  type: str
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.cutover.capture.reach import reaches
from ansible.module_utils.cutover.capture.watch import watched
from ansible.module_utils.cutover.journal import make_state_dir, state_dir
from ansible.module_utils.cutover.lock import EngineLock
from ansible.module_utils.cutover.source import backup
from ansible.module_utils.cutover_module import LONG, STATE, run


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **STATE,
            **LONG,
            "source_path": {"type": "path"},
            "kind": {"type": "str", "choices": ["backup", "snapshot", "proof"], "default": "backup"},
            "followed": {"type": "bool", "default": False},
            "captured_path": {"type": "path"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["source_path"])],
        supports_check_mode=True,
    )
    params = module.params

    def work() -> dict[str, Any]:
        folder = state_dir(params["name"], params["state_dir"])
        path = os.path.join(folder, f"{params['kind']}.sqlite")
        if params["state"] == "absent":
            return {"path": path, "changed": backup.remove(path, module.check_mode)}
        source = params["source_path"]
        keep = (lambda copy: reaches(source, copy)) if params["followed"] else None
        if module.check_mode:
            return backup.backup(source, path, check_mode=True, keep=keep)
        make_state_dir(folder)
        # What a killed run left behind must not write into the same copy.
        with watched(params["captured_path"]), EngineLock(folder):
            return backup.backup(source, path, params["progress_file"], keep=keep)

    run(module, work)


if __name__ == "__main__":
    main()
