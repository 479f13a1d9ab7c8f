#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set and reset parameters of an RDS parameter group, each in the way that it allows."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rds_parameters
short_description: Set and reset parameters of an RDS parameter group
description:
  - Sets parameters at once where PostgreSQL can change them in a running server, and at the next restart where it cannot.
  - Resets parameters to RDS's default, which the collection's modules do not do, and refuses names that the group does not have.
  - Runs on the controller, with boto3.
version_added: 0.4.0
author:
  - pg-cutover contributors
options:
  name:
    description: Name of the parameter group.
    type: str
    required: true
  kind:
    description: Whether it is an instance's group or that of an Aurora cluster.
    type: str
    choices: [instance, cluster]
    default: instance
  parameters:
    description: Names and values to set.
    type: dict
    default: {}
  reset:
    description: Names to take back to RDS's default.
    type: list
    elements: str
    default: []
  region:
    description: AWS region.
    type: str
  profile:
    description: Profile of the AWS configuration.
    type: str
attributes:
  check_mode:
    description: Says what would change. A group that is not there yet would get everything.
    support: full
  diff_mode:
    description: Shows the values before and after.
    support: full
"""

EXAMPLES = r"""
- name: Set the parameters for a load
  rds_parameters:
    name: pg-cutover-shop
    parameters:
      checkpoint_timeout: "1800"
"""

RETURN = r"""
pending:
  description: Names that were set and hold from the next restart on.
  returned: success
  type: list
  elements: str
"""

from contextlib import suppress
from typing import Any

# Where it is missing, AnsibleAWSModule says so.
with suppress(ImportError):
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

#: The service takes no more in one request.
_AT_ONCE = 20
_CALLS = {
    "instance": (
        "describe_db_parameters",
        "modify_db_parameter_group",
        "reset_db_parameter_group",
        "DBParameterGroupName",
    ),
    "cluster": (
        "describe_db_cluster_parameters",
        "modify_db_cluster_parameter_group",
        "reset_db_cluster_parameter_group",
        "DBClusterParameterGroupName",
    ),
}


def _method(parameter: dict[str, Any]) -> str:
    return "immediate" if parameter.get("ApplyType") == "dynamic" else "pending-reboot"


def plan(
    known: dict[str, dict[str, Any]], wanted: dict[str, str], reset: list[str]
) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """What to modify and what to reset, in the words of the service."""
    modify = [
        {"ParameterName": name, "ParameterValue": value, "ApplyMethod": _method(known[name])}
        for name, value in sorted(wanted.items())
        if known[name].get("ParameterValue") != value
    ]
    # What nobody has set has its default already.
    resets = [
        {"ParameterName": name, "ApplyMethod": _method(known[name])}
        for name in sorted(reset)
        if known[name].get("Source") == "user"
    ]
    return modify, resets


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "kind": {"type": "str", "choices": ["instance", "cluster"], "default": "instance"},
            "parameters": {"type": "dict", "default": {}},
            "reset": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    name, reset = module.params["name"], module.params["reset"]
    wanted = {key: str(value) for key, value in module.params["parameters"].items()}
    describe, modify_call, reset_call, key = _CALLS[module.params["kind"]]
    client = module.client("rds", retry_decorator=AWSRetry.jittered_backoff(retries=5))
    try:
        pages = client.get_paginator(describe).paginate(**{key: name}).build_full_result()
    except ClientError as error:
        if module.check_mode and "NotFound" in error.response["Error"]["Code"]:
            module.exit_json(changed=bool(wanted), pending=[], diff={"before": {}, "after": wanted})
        module.fail_json_aws(error, msg=f"The parameters of {name} cannot be read")
    except BotoCoreError as error:
        module.fail_json_aws(error, msg=f"The parameters of {name} cannot be read")
    known = {parameter["ParameterName"]: parameter for parameter in pages["Parameters"]}

    unknown = sorted(one for one in {*wanted, *reset} if not known.get(one, {}).get("IsModifiable"))
    if unknown:
        module.fail_json(
            msg=f"The parameter group {name} has no parameter that may be changed named {', '.join(unknown)} "
            "(rds_parameters, rds_bulk_parameters). Nothing was changed in it."
        )
    modify, resets = plan(known, wanted, reset)
    if not module.check_mode:
        for call, changes in ((modify_call, modify), (reset_call, resets)):
            for start in range(0, len(changes), _AT_ONCE):
                try:
                    getattr(client, call)(**{key: name, "Parameters": changes[start : start + _AT_ONCE]})
                except (BotoCoreError, ClientError) as error:
                    module.fail_json_aws(error, msg=f"The parameters of {name} cannot be set")
    touched = [change["ParameterName"] for change in modify + resets]
    module.exit_json(
        changed=bool(touched),
        pending=[change["ParameterName"] for change in modify + resets if change["ApplyMethod"] != "immediate"],
        diff={
            "before": {one: known[one].get("ParameterValue", "default") for one in touched},
            "after": {one: wanted.get(one, "default") for one in touched},
        },
    )


if __name__ == "__main__":
    main()
