#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install, remove or read the change log of a SQLite database."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cutover_capture
short_description: Log the changes of a SQLite database while its application goes on
description:
  - C(present) creates a change log and triggers on every table of the plan, in one short transaction. From then on the
    log names every row that is written. A log that stands and still fits is kept, with its identity.
  - C(absent) drops them and gives the file the journal mode back that it had. C(read) only tells what stands.
version_added: 0.2.0
author:
  - pg-cutover contributors
options:
  source_path:
    description: The SQLite file.
    type: path
    required: true
  state:
    description: Whether the changes of the source are logged.
    type: str
    choices: [present, absent, read]
    required: true
  plan:
    description: The plan, as cutover_plan returns it. Required for C(present).
    type: dict
  wal:
    description:
      - Whether the source may be switched to write-ahead logging, without which reading it would block the
        application's writes. A source in another mode is refused otherwise.
    type: bool
    default: false
  measure:
    description:
      - Whether to time what the triggers cost, on a sample of the source in a scratch file. Takes about two seconds and
        needs the plan.
    type: bool
    default: false
attributes:
  check_mode:
    description: Returns the statements without running them.
    support: full
"""

EXAMPLES = r"""
- name: Log the changes of the source
  cutover_capture:
    source_path: /srv/app/app.sqlite
    plan: "{{ plan }}"
    state: present
    wal: true

- name: Remove the change log
  cutover_capture:
    source_path: /srv/app/app.sqlite
    state: absent
"""

RETURN = r"""
id:
  description: The identity of the log that stands, empty when there is none. Positions belong to one identity.
  returned: success
  type: str
position:
  description: The highest position in the log.
  returned: success
  type: int
waiting:
  description: Entries that the log holds.
  returned: success
  type: int
journal_mode:
  description: The journal mode of the source.
  returned: success
  type: str
former_journal_mode:
  description: The journal mode before it was switched, empty when it was not.
  returned: success
  type: str
cost:
  description: >-
    What the triggers cost on the fastest single-row writes: table, seconds_without, seconds_with, cost_seconds, share
    (of the time without them), writes. Empty when it was not measured.
  returned: success
  type: dict
queries:
  description: The statements that were run, or would be in check mode.
  returned: success
  type: list
  elements: str
warnings:
  description: What was left as it is, and why.
  returned: when something was
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.cutover.capture import changes, cost, install, wal
from ansible.module_utils.cutover.source.connect import open_readonly
from ansible.module_utils.cutover_module import SOURCE, plan_of, run


def _standing(path: str) -> dict[str, Any]:
    connection = open_readonly(path)
    try:
        standing = install.inspect(connection)
        return {
            "id": standing.id if standing else "",
            "position": changes.position(connection) if standing else 0,
            "waiting": changes.count(connection, 0) if standing else 0,
            "former_journal_mode": (standing.journal_mode if standing else None) or "",
            "journal_mode": wal.mode(path),
        }
    finally:
        connection.close()


def _present(module: AnsibleModule, path: str) -> list[str]:
    plan, consent = plan_of(module), module.params["wal"]
    # Refused before anything is installed; done when there is a place to note the former mode in.
    before = wal.arrange(path, consent, check_mode=True)
    queries = list(install.install(path, plan, module.check_mode).queries)
    if before != "wal":
        wal.arrange(path, consent, module.check_mode)
        queries.append("PRAGMA journal_mode = wal")
    return queries


def _absent(module: AnsibleModule, path: str) -> list[str]:
    kept = wal.put_back(path, module.check_mode)
    if kept is not None:
        module.warn(kept)
    return install.remove(path, module.check_mode)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **SOURCE,
            "state": {"type": "str", "choices": ["present", "absent", "read"], "required": True},
            "plan": {"type": "dict"},
            "wal": {"type": "bool", "default": False},
            "measure": {"type": "bool", "default": False},
        },
        required_if=[("state", "present", ["plan"]), ("measure", True, ["plan"])],
        supports_check_mode=True,
    )
    path = module.params["source_path"]

    def work() -> dict[str, Any]:
        measured = cost.measure(path, plan_of(module)) if module.params["measure"] else {}
        queries: list[str] = []
        if module.params["state"] == "present":
            queries = _present(module, path)
        elif module.params["state"] == "absent":
            queries = _absent(module, path)
        return {**_standing(path), "cost": measured, "queries": queries, "changed": bool(queries)}

    run(module, work)


if __name__ == "__main__":
    main()
