#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where PostgreSQL stands in the change log of the source, and bringing it to the end of one."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cutover_follow
short_description: Where PostgreSQL stands in the change log of the source
description:
  - C(read) tells whether PostgreSQL holds a state of the source that the change log leads on from.
  - C(begin) notes that PostgreSQL holds the state of a copy of the source, from which it follows on.
  - C(caught_up) applies what the log of a file holds and PostgreSQL lacks. Of a copy of the source, PostgreSQL equals the copy
    afterwards. What others wrote to PostgreSQL meanwhile is for the comparison that comes next.
version_added: 0.2.0
author:
  - pg-cutover contributors
options:
  state:
    description: What to do.
    type: str
    choices: [read, begin, caught_up]
    required: true
  source_path:
    description: The SQLite file with the change log. A copy of it for I(state=begin) and I(state=caught_up).
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
  progress_file:
    description: Where progress is written while the module runs.
    type: path
  workers:
    description: Has no effect; changes are applied one after the other.
    type: int
    default: 0
attributes:
  check_mode:
    description: Says whether something would be noted or applied.
    support: full
"""

EXAMPLES = r"""
- name: See whether the rows have to be copied
  cutover_follow:
    state: read
    source_path: /srv/app/app.sqlite
    plan: "{{ planned.plan }}"
    target_url: "{{ cutover_target_url }}"
  register: followed
"""

RETURN = r"""
follows:
  description: Whether following on from PostgreSQL's state is possible.
  returned: success
  type: bool
why:
  description: Why not; empty when it is.
  returned: success
  type: str
position:
  description: The position in the change log that PostgreSQL stands at; null when there is none.
  returned: success
  type: int
applied:
  description: The entries of the change log that were applied.
  returned: when I(state=caught_up)
  type: int
"""

from contextlib import closing
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.cutover.capture import changes, install
from ansible.module_utils.cutover.capture.reach import holds_after
from ansible.module_utils.cutover.errors import CutoverError
from ansible.module_utils.cutover.follow import position, steps
from ansible.module_utils.cutover.plan.model import Plan
from ansible.module_utils.cutover.reverse import changes as reverse_changes
from ansible.module_utils.cutover.source.connect import open_readonly
from ansible.module_utils.cutover.target.connect import connect, explain
from ansible.module_utils.cutover_module import LONG, PLAN, SOURCE, TARGET, plan_of, run

#: A copy of the source ends; however many changes it holds, this is only for what was forgotten.
_LONG_SECONDS = 7 * 24 * 3600.0


def _begin(module: AnsibleModule, plan: Plan) -> bool:
    """Note the position of the copy in PostgreSQL; whether that changed anything."""
    with closing(open_readonly(module.params["source_path"])) as copy:
        capture = install.inspect(copy)
        if capture is None:
            raise CutoverError(
                f"{module.params['source_path']} holds no change log: it was made before the log was installed. "
                "Run cutover.yml again with -e cutover_start_over=true."
            )
        reached = changes.position(copy)
    target = connect(module.params["target_url"])
    try:
        with target, target.cursor() as cursor:
            stands = position.read(cursor, plan.own)
            if stands is not None and (stands.capture_id, stands.position) == (capture.id, reached):
                return False
            if not module.check_mode:
                position.begin(cursor, plan.own, capture.id, reached)
    except target.Error as error:
        raise explain(error, "The position cannot be noted") from None
    finally:
        target.close()
    return True


def _catch_up(path: str, url: str, plan: Plan) -> int:
    """Apply what the file's log holds; returns by how many positions PostgreSQL went on."""
    with closing(open_readonly(path, bytearray)) as source:
        target = connect(url)
        try:
            with target, target.cursor() as cursor:
                before = position.read(cursor, plan.own)
            steps.catch_up(path, plan, source, target, 1, _LONG_SECONDS)
            with target, target.cursor() as cursor:
                after = position.read(cursor, plan.own)
                # The comparison that comes next finds whatever they have spoilt.
                reverse_changes.forget_strays(cursor, plan.own)
        except target.Error as error:
            raise explain(error, "The changes cannot be applied") from None
        finally:
            target.close()
    return (after.position if after else 0) - (before.position if before else 0)


def _look(module: AnsibleModule, plan: Plan) -> dict[str, Any]:
    """What state=read returns."""
    target = connect(module.params["target_url"])
    try:
        with target, target.cursor() as cursor:
            stands = position.read(cursor, plan.own)
    except target.Error as error:
        raise explain(error, "The position cannot be read") from None
    finally:
        target.close()
    with closing(open_readonly(module.params["source_path"])) as source:
        capture = install.inspect(source)
        why = ""
        if stands is None:
            why = "PostgreSQL holds no copy that can be followed on"
        elif capture is None or capture.id != stands.capture_id:
            why = "the change log is another one than when the rows were copied"
        elif capture.fingerprint != plan.fingerprint():
            why = "the plan is another one than when the rows were copied"
        elif not holds_after(source, stands.position):
            why = "the change log does not go back to what PostgreSQL holds"
    return {"follows": not why, "why": why, "position": stands.position if stands else None}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **SOURCE,
            **PLAN,
            **TARGET,
            **LONG,
            "state": {"type": "str", "choices": ["read", "begin", "caught_up"], "required": True},
        },
        supports_check_mode=True,
    )

    def work() -> dict[str, Any]:
        plan = plan_of(module)
        changed, applied = False, 0
        if module.params["state"] == "begin":
            changed = _begin(module, plan)
        elif module.params["state"] == "caught_up" and not module.check_mode:
            applied = _catch_up(module.params["source_path"], module.params["target_url"], plan)
            changed = applied > 0
        return {**_look(module, plan), "applied": applied, "changed": changed}

    run(module, work)


if __name__ == "__main__":
    main()
