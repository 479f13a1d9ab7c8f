#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""The critical section: switch the application to PostgreSQL, or back, while it serves."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cutover_switch
short_description: Switch a serving application to PostgreSQL, or back to SQLite
description:
  - Requests are held at the proxies for milliseconds. Meanwhile the last changes are applied and compared, the database
    that is left is closed to writes, the other is opened, and the proxies' route is switched. One process does all of it, with
    a deadline on every wait.
  - Whatever fails before the decision lets requests go on as before, and it is tried again a few times. What a killed
    process left is settled at once by a process beside it, and by the next call of this module.
  - After a switch to PostgreSQL every row of every table is compared, while the application is at work.
  - Appends to the journal how it ended, phase C(switched_online), C(switched_back) or C(switch_off).
version_added: 0.2.0
author:
  - pg-cutover contributors
options:
  action:
    description:
      - C(forward) switches to PostgreSQL, C(back) to SQLite. Both settle first what an earlier attempt left.
      - C(settle) does only that.
      - C(gate) tells what would be refused, and how long a hold would take.
      - C(verify) compares all rows of a source that was left by a switch whose own comparison did not come to its end.
    type: str
    choices: [forward, back, settle, gate, verify]
    required: true
  direction:
    description: For I(action=gate), which switch is meant.
    type: str
    choices: [forward, back]
    default: forward
  name:
    description: The name of the migration.
    type: str
    required: true
  state_dir:
    description: The folder of the migration's state on this host.
    type: path
  run:
    description: The run of the playbook; the fence and the journal's events carry its name.
    type: str
    required: true
  source_path:
    description: The SQLite file.
    type: path
    required: true
  plan:
    description: The plan, from M(cutover_plan).
    type: dict
    required: true
  target_url:
    description: The owner's URL of the target.
    type: str
    required: true
  application_role:
    description: The role with which green works on the target.
    type: str
    required: true
  proxies:
    description:
      - Every proxy in front of the application. C(map_path) and, on this host, C(socket); elsewhere C(host), C(port), C(ca),
        C(certificate) and C(key).
    type: list
    elements: dict
    required: true
  hold:
    description: The requests that wait. C(writes) only when GET, HEAD and OPTIONS never write.
    type: str
    choices: [all, writes]
    default: all
  budget_ms:
    description: How long requests may wait for the decision; beyond it they are let go and it is tried again.
    type: int
    default: 100
  lease_ms:
    description: When the proxies let requests go by themselves.
    type: int
    default: 800
  attempts:
    description: How often it is tried.
    type: int
    default: 5
  pause_seconds:
    description: Between two attempts.
    type: float
    default: 2
  catch_up_seconds:
    description: How long changes may be applied before the hold until few enough wait.
    type: float
    default: 600
  settle_seconds:
    description: How long a decided switch waits for a PostgreSQL or a proxy that does not answer.
    type: float
    default: 60
  verified:
    description: All rows have been proved at a position from which the change log is followed.
    type: bool
    default: false
  verify:
    description: Compare all rows after a switch to PostgreSQL.
    type: bool
    default: true
  workers:
    description: Processes that compare. 0 means one for each core.
    type: int
    default: 0
  throttle:
    description: The share of the time that each of them rests, from 0 to below 1.
    type: float
    default: 0
  blue_ports:
    description: Where the instances on SQLite listen on this host. Connections there that no proxy made are refused.
    type: list
    elements: int
    default: []
  green_ports:
    description: The same of the instances on PostgreSQL, for the way back.
    type: list
    elements: int
    default: []
  proxy_addresses:
    description: Addresses of proxies on other hosts, whose connections are theirs.
    type: list
    elements: str
    default: []
  progress_file:
    description: Where the progress of the comparison is written.
    type: path
attributes:
  check_mode:
    description: C(forward) and C(back) do what C(gate) does; C(settle) and C(verify) do nothing.
    support: full
"""

EXAMPLES = r"""
- name: Switch to PostgreSQL
  cutover_switch:
    action: forward
    name: app
    run: "{{ journal_run }}"
    source_path: /srv/app/app.sqlite
    plan: "{{ planned.plan }}"
    target_url: "{{ cutover_target_url }}"
    application_role: app_app
    verified: true
    proxies:
      - name: proxy
        map_path: /etc/haproxy/maps/cutover.map
        socket: /run/haproxy/admin.sock
"""

RETURN = r"""
direction:
  description: Which way the application was switched, C(nothing) when it was not.
  returned: for forward, back and settle
  type: str
text:
  description: What was found, in words.
  returned: for settle
  type: str
settled:
  description: An earlier attempt turned out as decided and was finished; the figures are lost with it.
  returned: for forward and back
  type: bool
attempt:
  description: The identifier of the attempt, which is the fence's.
  returned: for forward and back
  type: str
hold_ms:
  description: From the first proxy's hold to the last one's release.
  returned: for forward and back
  type: float
waited_ms:
  description:
    - For requests in flight.
    - Beside it stand the hold's other parts, held_ms, locked_ms, check_ms, drain_ms, verify_ms, commit_ms, fence_ms or close_ms,
      open_ms and route_ms.
  returned: for forward and back
  type: float
drained:
  description: Rows that were brought over during the hold.
  returned: for forward and back
  type: int
attempts:
  description: How many it took.
  returned: for forward and back
  type: int
called_off:
  description: Why earlier ones were called off.
  returned: for forward and back
  type: list
  elements: str
notes:
  description: What went wrong without harm.
  returned: for forward and back
  type: list
  elements: str
verified:
  description: Of the comparison of all rows, C(ok), C(tables) and C(differences) as from M(cutover_verify), and C(seconds). Null
    when there was none; I(action=verify) makes up for it.
  returned: for forward and verify
  type: dict
refused:
  description: What stands in the way.
  returned: for gate, and in check mode
  type: list
  elements: str
predicted_hold_ms:
  description: How long a hold would take.
  returned: for gate, and in check mode
  type: float
waiting:
  description: Changes that are not applied yet.
  returned: for gate, and in check mode
  type: int
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.cutover.journal import state_dir
from ansible.module_utils.cutover.switch import back, config, critical, forward, gate, settle
from ansible.module_utils.cutover_module import LONG, PLAN, SOURCE, STATE, TARGET, run

_SETTLED = {
    "forward": "an interrupted switch was decided: the application is on PostgreSQL, everything else now too",
    "back": "an interrupted way back was decided: the application is on SQLite, everything else now too",
    "nothing": "no interrupted attempt was decided; the application is where it was",
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **STATE,
            **SOURCE,
            **PLAN,
            **TARGET,
            **LONG,
            "action": {"type": "str", "choices": ["forward", "back", "settle", "gate", "verify"], "required": True},
            "direction": {"type": "str", "choices": ["forward", "back"], "default": "forward"},
            "run": {"type": "str", "required": True},
            "application_role": {"type": "str", "required": True},
            "proxies": {"type": "list", "elements": "dict", "required": True},
            "hold": {"type": "str", "choices": ["all", "writes"], "default": "all"},
            "budget_ms": {"type": "int", "default": 100},
            "lease_ms": {"type": "int", "default": 800},
            "attempts": {"type": "int", "default": 5},
            "pause_seconds": {"type": "float", "default": 2.0},
            "catch_up_seconds": {"type": "float", "default": 600.0},
            "settle_seconds": {"type": "float", "default": 60.0},
            "verified": {"type": "bool", "default": False},
            "verify": {"type": "bool", "default": True},
            "throttle": {"type": "float", "default": 0.0},
            "blue_ports": {"type": "list", "elements": "int", "default": []},
            "green_ports": {"type": "list", "elements": "int", "default": []},
            "proxy_addresses": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    params = module.params

    def work() -> dict[str, Any]:
        given = config.from_dict({**params, "state_dir": state_dir(params["name"], params["state_dir"])})
        action = params["action"]
        if action == "gate" or (module.check_mode and action in ("forward", "back")):
            return {**gate.check(given, params["direction"] if action == "gate" else action), "changed": False}
        if module.check_mode:
            return {"direction": "nothing", "text": "not looked at in check mode", "verified": None, "changed": False}
        if action == "settle":
            with critical.alone(given):
                direction = settle.settle(given)
            return {"direction": direction, "text": _SETTLED[direction], "changed": direction != "nothing"}
        if action == "verify":
            return {"verified": forward.verify(given), "changed": False}
        return {**(forward.run(given) if action == "forward" else back.run(given)), "changed": True}

    run(module, work)


if __name__ == "__main__":
    main()
