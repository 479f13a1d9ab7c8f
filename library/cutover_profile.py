#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Describe a SQLite database and profile what is stored in it."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cutover_profile
short_description: Describe a SQLite database and profile what is stored in it
description:
  - Reads the structure of the database (tables, keys, indexes, foreign keys, views, triggers, virtual tables)
    and counts, for each column, what is really stored.
  - Opens the file for reading only. Values do not leave the host, except the smallest and largest integer of a column.
version_added: 0.1.0
author:
  - pg-cutover contributors
options:
  source_path:
    description: The SQLite file.
    type: path
    required: true
  integrity:
    description: Run C(PRAGMA integrity_check) as well.
    type: bool
    default: true
  shapes:
    description:
      - Look for the shapes of dates and times in every column, not only where the declared type speaks of them. Needed where
        the types of tables that exist in PostgreSQL decide.
    type: bool
    default: false
  workers:
    description: Processes that read. 0 means one for each core.
    type: int
    default: 0
  progress_file:
    description: Where progress is written while the module runs.
    type: path
attributes:
  check_mode:
    description: Changes nothing in any case.
    support: full
"""

EXAMPLES = r"""
- name: Profile the source
  cutover_profile:
    source_path: /srv/app/app.sqlite
  register: profiled
"""

RETURN = r"""
description:
  description: The structure of the database.
  returned: success
  type: dict
profiles:
  description: By table, the number of rows and a profile of each column.
  returned: success
  type: dict
fence:
  description: The identifier of the fence that stands on the source, if any.
  returned: success
  type: str
findings:
  description: What an operator should know of the file itself.
  returned: success
  type: list
  elements: dict
"""

import importlib.util
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.cutover.errors import Finding
from ansible.module_utils.cutover.plan.choose import is_temporal
from ansible.module_utils.cutover.source.survey import survey
from ansible.module_utils.cutover_module import LONG, SOURCE, run, workers_of


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **SOURCE,
            **LONG,
            "integrity": {"type": "bool", "default": True},
            "shapes": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    params = module.params

    def work() -> dict[str, Any]:
        found = survey(
            params["source_path"],
            (lambda declared: True) if params["shapes"] else is_temporal,
            workers_of(module),
            params["progress_file"],
            params["integrity"],
        )
        if importlib.util.find_spec("psycopg2") is None:
            missing = Finding(
                "error", "this host lacks the Python module psycopg2: install python3-psycopg2 (or a wheel)."
            )
            found["findings"].append(missing.as_dict())
        return {**found, "changed": False}

    run(module, work)


if __name__ == "__main__":
    main()
