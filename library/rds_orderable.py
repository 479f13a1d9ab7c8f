#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check that AWS offers the instance classes that are wanted, before anything is made with them."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rds_orderable
short_description: Check that a region offers RDS instance classes
description:
  - Asks for the orderable options of an engine's version and fails when a class does not exist there, cannot be encrypted, or
    does not go with the storage or with Multi-AZ.
  - Changes nothing. Runs on the controller, with boto3.
version_added: 0.4.0
author:
  - pg-cutover contributors
options:
  engine:
    description: The engine.
    type: str
    required: true
  engine_version:
    description: Its version.
    type: str
    required: true
  classes:
    description: Name of the variable and the class that it holds; an empty class is left out.
    type: dict
    required: true
  storage_type:
    description: Storage that the classes must go with.
    type: str
  multi_az:
    description: Whether they must be able to have a standby.
    type: bool
    default: false
  region:
    description: AWS region.
    type: str
  profile:
    description: Profile of the AWS configuration.
    type: str
attributes:
  check_mode:
    description: Changes nothing in any case.
    support: full
"""

EXAMPLES = r"""
- name: Check the class
  rds_orderable:
    engine: postgres
    engine_version: "16.4"
    classes: {rds_instance_class: db.t4g.medium}
    storage_type: gp3
"""

RETURN = r"""
classes:
  description: The classes that were checked.
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


def problem(options: list[dict[str, Any]], storage_type: str | None, multi_az: bool) -> str:
    """Why none of the options of a class will do; empty when one does."""
    left = [option for option in options if option.get("SupportsStorageEncryption")]
    if not left:
        return "cannot have encrypted storage"
    if storage_type:
        left = [option for option in left if option.get("StorageType") == storage_type]
        if not left:
            return f"does not go with the storage type {storage_type} (rds_storage_type)"
    if multi_az and not any(option.get("MultiAZCapable") for option in left):
        return "cannot have a standby (rds_multi_az)"
    return ""


def alike(wanted: str, offered: list[str]) -> list[str]:
    """Some of the classes that are offered, those of the same family first."""
    family = wanted.rpartition(".")[0]
    return sorted(set(offered), key=lambda one: (not one.startswith(family + "."), one))[:8]


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "engine": {"type": "str", "required": True},
            "engine_version": {"type": "str", "required": True},
            "classes": {"type": "dict", "required": True},
            "storage_type": {"type": "str"},
            "multi_az": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    params = module.params
    client = module.client("rds", retry_decorator=AWSRetry.jittered_backoff(retries=5))

    def ask(**more: str) -> list[dict[str, Any]]:
        pages = client.get_paginator("describe_orderable_db_instance_options").paginate(
            Engine=params["engine"], EngineVersion=params["engine_version"], **more
        )
        found: list[dict[str, Any]] = pages.build_full_result()["OrderableDBInstanceOptions"]
        return found

    engine = f"{params['engine']} {params['engine_version']}"
    wanted = {variable: name for variable, name in params["classes"].items() if name}
    try:
        for variable, name in wanted.items():
            options = ask(DBInstanceClass=name)
            if not options:
                offered = alike(name, [option["DBInstanceClass"] for option in ask()])
                module.fail_json(
                    msg=f"{module.region} has no instance class {name} for {engine} ({variable}). "
                    f"Some that it has: {', '.join(offered) or 'none'}. Nothing was changed."
                )
            why = problem(options, params["storage_type"], params["multi_az"])
            if why:
                module.fail_json(msg=f"The instance class {name} ({variable}) {why}. Nothing was changed.")
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="The instance classes cannot be asked for")
    module.exit_json(changed=False, classes=sorted(wanted.values()))


if __name__ == "__main__":
    main()
