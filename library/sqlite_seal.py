#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make an SQLite file read-only while nobody may write to it, and give it its permissions back."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: sqlite_seal
short_description: Take the right to write from an SQLite file, and give it back
description:
  - Takes the write bits from the file, from C(-wal) and C(-shm) beside it, and remembers the permissions as they were.
  - Root writes all the same, so that the reverse replay goes on. A process that has the file open keeps its rights to it
    until it closes it; what stops those is the fence.
  - The permissions are remembered in C(<path>.pg-cutover-mode), which goes when the seal is taken off.
version_added: 0.1.0
author:
  - pg-cutover contributors
options:
  path:
    description: The SQLite file. It must exist.
    type: path
    required: true
  state:
    description: C(sealed) takes the right to write, C(open) gives it back, C(read) only looks.
    type: str
    choices: [sealed, open, read]
    required: true
attributes:
  check_mode:
    description: Says what it would do.
    support: full
  diff_mode:
    description: Shows the permissions before and after.
    support: full
"""

EXAMPLES = r"""
- name: Nobody but root writes into the file
  sqlite_seal:
    path: /srv/app/app.sqlite
    state: sealed
"""

RETURN = r"""
sealed:
  description: Whether the file is sealed after the task.
  returned: always
  type: bool
mode:
  description: The file's permissions after the task.
  returned: always
  type: str
  sample: "0440"
mode_open:
  description: The permissions that it has, or will have, without the seal.
  returned: always
  type: str
  sample: "0640"
"""

import contextlib
import os
import stat
import tempfile

from ansible.module_utils.basic import AnsibleModule

SUFFIX = ".pg-cutover-mode"
# SQLite makes the last two with the permissions that the file has at that moment: made while the file was sealed, they
# would lock the application out after the seal is gone.
BESIDE = ("", "-wal", "-shm")
WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def mode_of(path: str) -> int:
    """The permissions."""
    return stat.S_IMODE(os.stat(path).st_mode)


def remembered(path: str) -> int | None:
    """The permissions before the seal; None without one."""
    try:
        with open(path + SUFFIX, encoding="ascii") as file:
            mode = int(file.read().strip(), 8)
    except FileNotFoundError:
        return None
    if not 0 <= mode <= 0o7777:
        raise ValueError(f"{mode:o} is no mode")
    return mode


def remember(path: str, mode: int) -> None:
    """Keep the permissions, complete or not at all."""
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".pg-cutover-")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"{mode:04o}\n")
            file.flush()
            os.fsync(handle)
        os.replace(temporary, path + SUFFIX)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def set_modes(path: str, mode: int, check_mode: bool) -> bool:
    """Give the file and what lies beside it these permissions; whether any had others."""
    changed = False
    for each in BESIDE:
        # SQLite may remove -wal and -shm at any moment.
        with contextlib.suppress(FileNotFoundError):
            if mode_of(path + each) != mode:
                changed = True
                if not check_mode:
                    os.chmod(path + each, mode)
    return changed


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["sealed", "open", "read"], "required": True},
        },
        supports_check_mode=True,
    )
    state, path = module.params["state"], os.path.realpath(module.params["path"])
    if not os.path.isfile(path):
        module.fail_json(msg=f"{path} does not exist or is no file.")
    changed = False
    try:
        before, kept = mode_of(path), remembered(path)
        free = before if kept is None else kept
        if state == "sealed":
            if os.geteuid() != 0:
                module.fail_json(
                    msg=f"{path} is sealed by root only: without its rights the replay could not write into it any more. "
                    "Run this as root (become), or leave the file unsealed."
                )
            # Remembered first: killed in between, the permissions are known.
            if kept is None and not module.check_mode:
                remember(path, free)
            changed = set_modes(path, free & ~WRITE, module.check_mode) or kept is None
        elif state == "open" and kept is not None:
            changed = True
            set_modes(path, free, module.check_mode)
            if not module.check_mode:
                os.unlink(path + SUFFIX)
    except ValueError:
        module.fail_json(
            msg=f"{path}{SUFFIX} is damaged. Give {path}, and -wal and -shm beside it, the permissions that they should have, "
            "and remove that file."
        )
    except OSError as error:
        module.fail_json(msg=f"{path}: the permissions cannot be changed: {error}")
    after = free & ~WRITE if state == "sealed" else free if state == "open" else before
    module.exit_json(
        changed=changed,
        sealed=state == "sealed" or (state == "read" and kept is not None),
        mode=f"{after:04o}",
        mode_open=f"{free:04o}",
        diff={
            "before": f"mode {before:04o}\n",
            "after": f"mode {after:04o}\n",
            "before_header": path,
            "after_header": path,
        },
    )


if __name__ == "__main__":
    main()
