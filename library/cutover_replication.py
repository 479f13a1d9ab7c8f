#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set up the replication service of a migration, ask how far it is, wait for it."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cutover_replication
short_description: Set up the replication service of a migration, ask how far it is, wait for it
description:
  - The service carries changes from SQLite to PostgreSQL before the switch (C(follow)) and from PostgreSQL to SQLite
    after it (C(reverse)). The module puts the engine and its configuration where a service manager can run them; it
    starts and stops nothing itself.
version_added: 0.1.0
author:
  - pg-cutover contributors
options:
  action:
    description:
      - C(install) writes the engine and the configuration, where they say something new.
      - C(installed) says what C(install) put in place; I(service) is empty when there is nothing.
      - C(rekey) gives what C(install) put in place another O(target_url); I(service) is empty when there is nothing.
      - C(started) waits until the service that was started says how far it is, and removes engines that are of no more use.
      - C(stopped) waits until no process replicates.
      - C(read) says how far it is.
      - C(wait) waits until it is close enough and nobody postpones the switch.
      - C(judge) says whether going back at this moment is free of loss.
      - C(absent) removes the engine, the configuration and the state. Refused while a process replicates.
    type: str
    choices: [install, installed, rekey, started, stopped, read, wait, judge, absent]
    required: true
  name:
    description: The name of the migration.
    type: str
    required: true
  state_dir:
    description: The folder of the migration's state on this host.
    type: path
  directory:
    description: Where the engine is put, in a folder named by its contents.
    type: path
  direction:
    description: Which way changes are carried.
    type: str
    choices: [follow, reverse]
  source_path:
    description: The SQLite file.
    type: path
  plan:
    description: The plan, from M(cutover_plan).
    type: dict
  target_url:
    description: The owner's URL of the target.
    type: str
  limits:
    description: What the service goes by (sizes of batches, when it slows down); its own defaults for what is not given.
    type: dict
    default: {}
  digest:
    description: The digest of the configuration, from C(install).
    type: str
  since:
    description: When C(install) ran, in epoch seconds, from its result.
    type: float
    default: 0
  seconds:
    description: When C(started), C(stopped) and C(wait) give up. 0 lets C(wait) wait for ever.
    type: float
    default: 60
  lag_changes:
    description: How many changes may be left when C(wait) ends.
    type: int
    default: 200
  hold_ms:
    description: How long the hold may be predicted when C(wait) ends.
    type: float
    default: 50
  postpone_file:
    description: While this file exists on this host, C(wait) does not end.
    type: path
  progress_file:
    description: Where progress is written while the module runs.
    type: path
attributes:
  check_mode:
    description: Says what it would write or remove, and waits for nothing.
    support: full
"""

EXAMPLES = r"""
- name: Put the engine and its configuration in place
  cutover_replication:
    action: install
    name: app
    directory: /usr/local/lib/pg-cutover/app
    direction: follow
    source_path: /srv/app/app.sqlite
    plan: "{{ planned.plan }}"
    target_url: "{{ cutover_target_url }}"
  no_log: true

- name: Wait until the rest is small
  cutover_replication:
    action: wait
    name: app
    lag_changes: 100
    hold_ms: 50
    postpone_file: /run/pg-cutover-not-yet
    seconds: 0
"""

RETURN = r"""
state_dir:
  description: The folder of the migration's state.
  returned: success
  type: str
service:
  description:
    - What a service manager needs. C(python), C(program), C(config), C(direction), C(digest), C(pid_file), C(log_file),
      C(read_write) (the folders it writes to), C(since), and C(restart), whether what runs was started with something else.
  returned: when I(action) is install, installed or rekey
  type: dict
replication:
  description:
    - How far it is. C(running), C(pid), C(direction), C(state) (following, throttled, waiting, stopped), C(reason),
      C(lag_changes), C(lag_seconds), C(rate), C(predicted_hold_ms), C(position), C(age_seconds), C(stale) and C(text).
  returned: when I(action) is started, read or wait
  type: dict
judged:
  description: C(free_of_loss), C(lag), C(why) and C(text).
  returned: when I(action=judge)
  type: dict
removed:
  description: The paths that were removed.
  returned: when I(action) is started or absent
  type: list
  elements: str
"""

import os
import sys
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.cutover import replication, shipped
from ansible.module_utils.cutover.errors import CutoverError
from ansible.module_utils.cutover.journal import make_state_dir, state_dir
from ansible.module_utils.cutover.lock import replicating
from ansible.module_utils.cutover.service import load
from ansible.module_utils.cutover.target.connect import check_url
from ansible.module_utils.cutover_module import STATE, plan_of, run


def install(module: AnsibleModule, folder: str) -> dict[str, Any]:
    """Engine and configuration in place, and what a service manager needs to run them."""
    params = module.params
    check_url(params["target_url"])
    if not module.check_mode:
        make_state_dir(folder)
    program, copied = shipped.install(params["directory"], module.check_mode)
    config = {
        "name": params["name"],
        "state_dir": folder,
        "source_path": os.path.realpath(params["source_path"]),
        "plan": plan_of(module).as_dict(),
        "target_url": str(params["target_url"]),
        "direction": params["direction"],
        "limits": params["limits"],
        # A configuration belongs to the engine that was put there with it.
        "program": program,
    }
    digest, told = replication.configure(folder, config, module.check_mode)
    return {"service": service(folder, {**config, "digest": digest}), "changed": copied or told}


def installed(module: AnsibleModule, folder: str) -> dict[str, Any]:
    """The same of what is in place already."""
    if not os.path.exists(replication.config_file(folder)):
        return {"service": {}}
    config = load(replication.config_file(folder))
    there = os.path.exists(os.path.join(str(config.get("program")), "__main__.py"))
    return {"service": service(folder, config) if there else {}}


def rekey(module: AnsibleModule, folder: str) -> dict[str, Any]:
    """The same, with another URL of the target."""
    check_url(module.params["target_url"])
    if not installed(module, folder)["service"]:
        return {"service": {}}
    config = load(replication.config_file(folder))
    config.pop("digest")
    digest, told = replication.configure(
        folder, {**config, "target_url": str(module.params["target_url"])}, module.check_mode
    )
    return {"service": service(folder, {**config, "digest": digest}), "changed": told}


def service(folder: str, config: dict[str, Any]) -> dict[str, Any]:
    """What a service manager needs."""
    holder = replicating(folder)
    return {
        "python": sys.executable,
        "program": config["program"],
        "config": replication.config_file(folder),
        "direction": config["direction"],
        "digest": config["digest"],
        "pid_file": os.path.join(folder, "replication.pid"),
        "log_file": os.path.join(folder, "replication.log"),
        "read_write": sorted({folder, os.path.dirname(config["source_path"])}),
        "since": time.time(),
        "restart": holder is not None and holder.get("config") != config["digest"],
    }


def started(module: AnsibleModule, folder: str) -> dict[str, Any]:
    """The service as it runs now."""
    params = module.params
    if module.check_mode:
        return {"replication": replication.look(folder), "removed": [], "changed": False}
    found = replication.wait_started(folder, params["digest"], params["since"], params["seconds"])
    removed = shipped.tidy(params["directory"], found["program"])
    return {"replication": found, "removed": removed, "changed": False}


def absent(module: AnsibleModule, folder: str) -> dict[str, Any]:
    """Everything of the service removed."""
    holder = replicating(folder)
    if holder is not None and not module.check_mode:
        raise CutoverError(f"process {holder.get('pid', 'unknown')} still replicates; stop it first.")
    removed = replication.forget(folder, module.check_mode)
    removed += shipped.tidy(module.params["directory"], None, module.check_mode)
    return {"removed": removed, "changed": bool(removed)}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **STATE,
            "action": {
                "type": "str",
                "choices": ["install", "installed", "rekey", "started", "stopped", "read", "wait", "judge", "absent"],
                "required": True,
            },
            "directory": {"type": "path"},
            "direction": {"type": "str", "choices": ["follow", "reverse"]},
            "source_path": {"type": "path"},
            "plan": {"type": "dict"},
            "target_url": {"type": "str", "no_log": True},
            "limits": {"type": "dict", "default": {}},
            "digest": {"type": "str"},
            "since": {"type": "float", "default": 0},
            "seconds": {"type": "float", "default": 60},
            "lag_changes": {"type": "int", "default": 200},
            "hold_ms": {"type": "float", "default": 50},
            "postpone_file": {"type": "path"},
            "progress_file": {"type": "path"},
        },
        required_if=[
            ("action", "install", ["directory", "direction", "source_path", "plan", "target_url"]),
            ("action", "rekey", ["target_url"]),
            ("action", "started", ["directory", "digest"]),
            ("action", "absent", ["directory"]),
        ],
        supports_check_mode=True,
    )
    params = module.params
    folder = state_dir(params["name"], params["state_dir"])

    def work() -> dict[str, Any]:
        action = params["action"]
        result: dict[str, Any] = {"changed": False, "state_dir": folder}
        if action == "install":
            result.update(install(module, folder))
        elif action == "installed":
            result.update(installed(module, folder))
        elif action == "rekey":
            result.update(rekey(module, folder))
        elif action == "started":
            result.update(started(module, folder))
        elif action == "stopped":
            if not module.check_mode:
                replication.wait_gone(folder, params["seconds"])
        elif action == "wait" and not module.check_mode:
            result["replication"] = replication.wait_close(
                folder,
                params["lag_changes"],
                params["hold_ms"],
                params["postpone_file"],
                params["seconds"],
                params["progress_file"],
            )
        elif action == "judge":
            result["judged"] = replication.judge(folder)
        elif action == "absent":
            result.update(absent(module, folder))
        else:
            result["replication"] = replication.look(folder, count=True)
        return result

    run(module, work)


if __name__ == "__main__":
    main()
