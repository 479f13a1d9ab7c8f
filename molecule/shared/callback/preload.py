# SPDX-License-Identifier: GPL-3.0-or-later
"""Import once, in the controller, what each task's worker would import for itself.

Ansible forks a worker for a task, and the worker loads the connection's plugin: for hosts in containers that is Docker's whole
client, half of the controller's time. What the parent has loaded, a fork has.
"""

from __future__ import annotations

from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import action_loader, connection_loader

DOCUMENTATION = """
name: preload
type: aggregate
short_description: Load plugins before workers are forked
description:
  - Makes runs on hosts in containers faster; changes nothing else.
requirements:
  - enable in configuration (E(ANSIBLE_CALLBACKS_ENABLED))
"""

_CONNECTIONS = ("ansible.builtin.ssh", "ansible.builtin.local")
_ACTIONS = ("ansible.builtin.normal", "ansible.builtin.command", "ansible.builtin.template", "ansible.builtin.copy")


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core carries no types
    """Loads them when a playbook begins."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "preload"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Load the classes; nothing is connected to."""
        for name in _CONNECTIONS:
            connection_loader.get(name, class_only=True)
        for name in _ACTIONS:
            action_loader.get(name, class_only=True)
