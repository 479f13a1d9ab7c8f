# SPDX-License-Identifier: GPL-3.0-or-later
"""Do once what Ansible would do again in each run of a playbook, or for each task: for tests, which have hundreds of them.

Ansible forks a worker for a task, and the worker loads the connection's plugin: what the parent has loaded, a fork has. And each run
puts together anew what it sends to a host for a module, which takes longer than most modules run; Ansible keeps that for the run,
under the module's full name, in a folder that runs may share as well as its workers do.
"""

from __future__ import annotations

import os
from typing import Any

from ansible import constants
from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import action_loader, connection_loader

DOCUMENTATION = """
name: preload
type: aggregate
short_description: Load plugins before workers are forked, and share what is sent for modules
description:
  - Makes runs faster; changes nothing else.
options:
  built_modules:
    description:
      - A folder in which runs with the same modules keep what they send for them. Empty for none. One that is not the user's own is
        left alone.
    type: str
    env:
      - name: PG_CUTOVER_BUILT_MODULES
requirements:
  - enable in configuration (E(ANSIBLE_CALLBACKS_ENABLED))
"""

_CONNECTIONS = ("ansible.builtin.ssh", "ansible.builtin.local")
_ACTIONS = ("ansible.builtin.normal", "ansible.builtin.command", "ansible.builtin.template", "ansible.builtin.copy")


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core carries no types
    """Does it when a playbook begins."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "preload"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Load the classes, with nothing connected to; take the folder for what Ansible keeps."""
        for name in _CONNECTIONS:
            connection_loader.get(name, class_only=True)
        for name in _ACTIONS:
            action_loader.get(name, class_only=True)
        folder, kept = self.get_option("built_modules"), os.path.join(constants.DEFAULT_LOCAL_TMP, "ansiballz_cache")
        # What is read from it is unpickled: nobody else may have written there.
        if folder and os.path.isdir(folder) and os.stat(folder).st_uid == os.getuid() and not os.path.lexists(kept):
            os.symlink(folder, kept)
