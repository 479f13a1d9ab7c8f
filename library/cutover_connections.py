#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Count connections to the application that do not come from the proxy."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cutover_connections
short_description: Count connections to the application that do not come from the proxy
description:
  - A client that was connected to the application before the proxy was put in front goes on talking to it directly, and
    no hold reaches its requests. This counts such connections on the application's host, and can wait until they are gone.
  - Needs root where the proxy runs on the same host, to tell its connections from others.
version_added: 0.2.0
author:
  - pg-cutover contributors
options:
  ports:
    description: The application's ports.
    type: list
    elements: int
    required: true
  proxies:
    description: Addresses of proxies on other hosts.
    type: list
    elements: str
    default: []
  programs:
    description: Names of the processes of this host that are the proxy, or otherwise may connect, such as a health check.
    type: list
    elements: str
    default: [haproxy]
  deadline:
    description: Seconds to wait until there are none. When some are left the module fails. Without it, it only counts.
    type: float
attributes:
  check_mode:
    description: Counts without waiting.
    support: full
"""

EXAMPLES = r"""
- name: Wait until every client comes through the proxy
  cutover_connections:
    ports: [8000]
    proxies: [192.0.2.10]
    deadline: 60
"""

RETURN = r"""
count:
  description: How many there are.
  returned: success
  type: int
peers:
  description: How many from each address.
  returned: success
  type: dict
  sample: {"192.0.2.77": 2}
message:
  description: The same as a sentence, empty when there are none.
  returned: success
  type: str
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.cutover.switch import bypass
from ansible.module_utils.cutover_module import run


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "ports": {"type": "list", "elements": "int", "required": True},
            "proxies": {"type": "list", "elements": "str", "default": []},
            "programs": {"type": "list", "elements": "str", "default": ["haproxy"]},
            "deadline": {"type": "float"},
        },
        supports_check_mode=True,
    )
    params = module.params

    def work() -> dict[str, Any]:
        ports, proxies, programs = params["ports"], params["proxies"], params["programs"]
        if params["deadline"] is not None and not module.check_mode:
            bypass.wait(ports, proxies, time.monotonic() + params["deadline"], programs)
        found = bypass.connections(ports, proxies, programs)
        return {
            "changed": False,
            "count": sum(found.values()),
            "peers": found,
            "message": bypass.explain(found, ports) if found else "",
        }

    run(module, work)


if __name__ == "__main__":
    main()
