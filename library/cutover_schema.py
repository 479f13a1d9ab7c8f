#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Create the target's tables, and later its keys and indexes, from the plan."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cutover_schema
short_description: Create tables, keys and indexes in PostgreSQL from the plan
description:
  - C(tables) creates the tables without keys and indexes. Tables that an earlier run of the same migration made for
    another plan are replaced; tables that are not the migration's own are never touched.
  - C(finish) adds keys, indexes, constraints and views after the load, sets sequences above every value ever used,
    and runs ANALYZE. What is there already stays.
  - Where the plan loads into tables that the application made itself, C(tables) only makes the migration's own, C(finish) puts
    back what the load had set aside (foreign keys, triggers, indexes), and C(restored) undoes a load that was not finished,
    so that the application's tables are as they were before it.
  - C(dropped) drops what the migration left behind for itself, not the application's tables.
version_added: 0.1.0
author:
  - pg-cutover contributors
options:
  phase:
    description: Which part is wanted.
    type: str
    choices: [tables, finish, restored, dropped]
    required: true
  plan:
    description: The plan, from M(cutover_plan). All phases but C(restored) need it.
    type: dict
  target_url:
    description: The owner's URL of the target.
    type: str
    required: true
  schema:
    description: >-
      The schema of the application's tables. Where the migration keeps its own follows from it.
      Read where there is no O(plan), which has it.
    type: str
    default: public
  name:
    description: The name of the migration. Needed when O(phase=restored).
    type: str
  source_path:
    description: The SQLite file that was copied. C(finish) reads the values of its sequences.
    type: path
  captured_path:
    description:
      - The source, where it logs its changes while no service follows them yet. Should the log be lost meanwhile, its triggers
        are taken out at once, because the application's writes would fail by them, and the module fails.
    type: path
  replace:
    description: Replace the tables also when they hold a finished copy.
    type: bool
    default: false
  workers:
    description: Sessions over which C(finish) builds indexes and checks foreign keys. 0 means one for each core.
    type: int
    default: 0
  quarantined:
    description:
      - What becomes of rows in quarantine when the migration's own tables are dropped. C(refuse) to drop anything while
        there are any, C(keep) their table in a schema of its own, or C(drop) them.
    type: str
    choices: [refuse, keep, drop]
    default: refuse
attributes:
  check_mode:
    description: Returns the statements without running them.
    support: full
"""

EXAMPLES = r"""
- name: Create the tables
  cutover_schema:
    phase: tables
    plan: "{{ planned.plan }}"
    target_url: "{{ cutover_target_url }}"
"""

RETURN = r"""
queries:
  description: The statements that were run, or would be in check mode.
  returned: success
  type: list
  elements: str
"""

import contextlib
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.cutover import ddl, existing
from ansible.module_utils.cutover.capture.watch import watched
from ansible.module_utils.cutover.finish import finish
from ansible.module_utils.cutover.source.connect import open_readonly
from ansible.module_utils.cutover.source.describe import describe
from ansible.module_utils.cutover.target.connect import connect
from ansible.module_utils.cutover_module import SCHEMA, TARGET, plan_of, run, workers_of


def _connect(params: dict[str, Any]) -> Any:
    return connect(params["target_url"], autocommit=params["phase"] not in ("tables", "restored"))


def _sequences(path: str) -> dict[str, int]:
    source = open_readonly(path)
    try:
        return {table.name: table.sequence for table in describe(source, path).tables if table.sequence is not None}
    finally:
        source.close()


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **TARGET,
            **SCHEMA,
            "name": {"type": "str"},
            "plan": {"type": "dict"},
            "phase": {"type": "str", "choices": ["tables", "finish", "restored", "dropped"], "required": True},
            "source_path": {"type": "path"},
            "captured_path": {"type": "path"},
            "replace": {"type": "bool", "default": False},
            "workers": {"type": "int", "default": 0},
            "quarantined": {"type": "str", "choices": ["refuse", "keep", "drop"], "default": "refuse"},
        },
        required_if=[
            ("phase", "tables", ["plan"]),
            ("phase", "finish", ["plan", "source_path"]),
            ("phase", "restored", ["name"]),
            ("phase", "dropped", ["plan"]),
        ],
        supports_check_mode=True,
    )
    params = module.params

    def work() -> dict[str, Any]:
        plan = plan_of(module) if params["plan"] else None
        with watched(params["captured_path"]), contextlib.closing(_connect(params)) as connection:
            if plan is None:
                queries = existing.undo(connection, params["schema"], params["name"], module.check_mode)
            elif params["phase"] == "tables" and plan.mode == "existing":
                queries = existing.prepare(connection, plan, params["replace"], module.check_mode)
            elif params["phase"] == "tables":
                queries = ddl.create_tables(connection, plan, params["replace"], module.check_mode)
            elif params["phase"] == "finish":
                queries = finish(
                    connection,
                    plan,
                    _sequences(params["source_path"]),
                    module.check_mode,
                    url=params["target_url"],
                    workers=workers_of(module),
                )
            else:
                queries = ddl.drop_own(connection, plan.schema, plan.name, module.check_mode, params["quarantined"])
        return {"queries": queries, "changed": bool(queries)}

    run(module, work)


if __name__ == "__main__":
    main()
