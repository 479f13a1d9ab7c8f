# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds, makes and rotates the passwords of a migration on the controller. library/cutover_secrets.py describes it."""

from __future__ import annotations

import os
import sys
from typing import Any

from ansible.plugins.action import ActionBase

_DEFAULTS: dict[str, Any] = {"action": "find", "held": None, "place": "the store", "names": [], "variables": {}}


class ActionModule(ActionBase):
    """Works on the controller alone: no host sees more than the password that it gets."""

    _supports_check_mode = True
    _requires_connection = False
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Do what the argument action says."""
        super().run(tmp, task_vars)
        # The engine is a folder beside this one on the controller.
        engine = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "module_utils")
        if engine not in sys.path:
            sys.path.append(engine)
        from cutover.errors import CutoverError
        from cutover.keeping import keep

        try:
            return keep({**_DEFAULTS, **self._task.args}, bool(self._task.check_mode))
        except CutoverError as error:
            return {"failed": True, "changed": False, "msg": error.message}
