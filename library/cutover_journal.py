#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the journal of a migration and the lock of a run."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cutover_journal
short_description: Keep the journal of a migration and the lock of a run
description:
  - Records durably, on the source's host and in PostgreSQL, which phase is done, and says where the migration stands.
  - C(begin) takes the lock that keeps two runs apart; every further call of the run renews it, or fails when
    another run has taken it over; C(end) releases it.
    An action plugin of the same name tells a run that was killed from one that is alive.
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
  action:
    description: What to do. C(read) changes nothing and takes no lock.
    type: str
    choices: [begin, phase, end, read]
    required: true
  run:
    description: The identifier of this run. Needed for everything but C(read).
    type: str
  playbook:
    description: The playbook that begins.
    type: str
    default: ansible-playbook
  phase:
    description: The phase that C(phase) records.
    type: str
  phase_state:
    description: What became of the phase.
    type: str
    choices: [started, done, failed]
  detail:
    description: Whatever the report needs of the phase, or of the end of the run.
    type: dict
    default: {}
  target_url:
    description: The owner's URL of the target, for the copy of the journal there. Without it there is none.
    type: str
  schema:
    description: The schema of the application's tables. Where the migration keeps its own follows from it.
    type: str
    default: public
  retention_days:
    description: Days for which the way back is kept after the cutover.
    type: int
    default: 7
  break_lock:
    description: Take the lock from a run that is known to be dead.
    type: bool
    default: false
  owner:
    description: Who runs the playbook. The action plugin fills it in.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Records nothing and takes no lock.
    support: full
"""

EXAMPLES = r"""
- name: Begin
  cutover_journal:
    name: app
    action: begin
    run: 20261122T200000-1f2e
    playbook: cutover.yml

- name: Note that the fence stands
  cutover_journal:
    name: app
    action: phase
    run: 20261122T200000-1f2e
    phase: fence
    phase_state: done
    detail: {id: 20261122T200000-1f2e}
"""

RETURN = r"""
events:
  description: The whole journal.
  returned: success
  type: list
  elements: dict
status:
  description: Where the migration stands, since when, what comes next, whether going back is free of loss.
  returned: success
  type: dict
holder:
  description: The run that holds the lock.
  returned: when locked
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.cutover.errors import TargetError
from ansible.module_utils.cutover.journal import Journal, make_state_dir, state_dir
from ansible.module_utils.cutover.lock import RunLock
from ansible.module_utils.cutover.stage import check_allowed, status
from ansible.module_utils.cutover.target.connect import connect
from ansible.module_utils.cutover_module import SCHEMA, STATE, run


def _mirror(module: AnsibleModule, journal: Journal) -> None:
    """Copy the journal to PostgreSQL; the source's host has the authoritative one, so a failure only warns."""
    url = module.params["target_url"]
    if not url:
        return
    try:
        connection = connect(url, autocommit=True)
    except TargetError as error:
        module.warn(f"The journal could not be copied to PostgreSQL: {error.message}")
        return
    try:
        journal.mirror(connection, module.params["schema"], module.params["name"])
    except connection.Error as error:
        module.warn(f"The journal could not be copied to PostgreSQL: {error}")
    finally:
        connection.close()


def _record(module: AnsibleModule, journal: Journal, lock: RunLock) -> None:
    params = module.params
    if params["action"] == "begin":
        lock.acquire(params["run"], params["owner"], params["playbook"], params["break_lock"])
        journal.append("begin", params["run"], detail={"playbook": params["playbook"], **params["detail"]})
        _mirror(module, journal)
        return
    lock.renew(params["run"], params["owner"], params["playbook"])
    if params["action"] == "phase":
        if params["phase_state"] == "started":
            check_allowed(journal.events(), params["phase"], params["playbook"])
        journal.append("phase", params["run"], params["phase"], params["phase_state"], params["detail"])
    else:
        journal.append("end", params["run"], detail=params["detail"])
        lock.release(params["run"])
    _mirror(module, journal)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **STATE,
            **SCHEMA,
            "action": {"type": "str", "choices": ["begin", "phase", "end", "read"], "required": True},
            "run": {"type": "str"},
            "playbook": {"type": "str", "default": "ansible-playbook"},
            "phase": {"type": "str"},
            "phase_state": {"type": "str", "choices": ["started", "done", "failed"]},
            "detail": {"type": "dict", "default": {}},
            "target_url": {"type": "str", "no_log": True},
            "retention_days": {"type": "int", "default": 7},
            "break_lock": {"type": "bool", "default": False},
            "owner": {"type": "dict", "default": {}},
        },
        required_if=[
            ("action", "begin", ["run"]),
            ("action", "phase", ["run", "phase", "phase_state"]),
            ("action", "end", ["run"]),
        ],
        supports_check_mode=True,
    )
    params = module.params

    def work() -> dict[str, Any]:
        folder = state_dir(params["name"], params["state_dir"])
        journal, lock = Journal(folder), RunLock(folder)
        changed = params["action"] != "read" and not module.check_mode
        if changed:
            make_state_dir(folder)
            _record(module, journal, lock)
        events = journal.events()
        return {
            "events": events,
            "status": status(events, params["retention_days"]),
            "holder": lock.holder() or {},
            "state_dir": folder,
            # Keeping a record is no change to what the operator manages.
            "changed": False,
        }

    run(module, work)


if __name__ == "__main__":
    main()
