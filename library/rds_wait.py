#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until RDS is done. The work is in the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rds_wait
short_description: Wait until RDS instances and a cluster are available
description:
  - Asks every so often, shows the state on the operator's terminal when it changes and once a minute.
  - Ends with an error when the deadline is over, or a state is reached that nobody comes out of by waiting.
  - Is an action plugin, which asks with M(amazon.aws.rds_instance_info) and M(amazon.aws.rds_cluster_info).
version_added: 0.4.0
author:
  - pg-cutover contributors
options:
  instances:
    description: Identifiers of the instances.
    type: list
    elements: str
    required: true
  cluster:
    description: Identifier of an Aurora cluster.
    type: str
  timeout:
    description: Seconds to wait.
    type: int
    default: 3600
  poll:
    description: Seconds between two questions.
    type: int
    default: 15
  region:
    description: AWS region.
    type: str
  profile:
    description: Profile of the AWS configuration.
    type: str
attributes:
  check_mode:
    description: Waits for nothing.
    support: full
"""

EXAMPLES = r"""
- name: Wait until the instance is available
  rds_wait:
    instances: [shop]
    timeout: 1800
"""

RETURN = r"""
states:
  description: Identifiers and their last states.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    """Say that this is not it."""
    AnsibleModule(argument_spec={}).fail_json(msg="rds_wait is an action plugin; it does not run on a host")


if __name__ == "__main__":
    main()
