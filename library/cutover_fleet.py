#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a playbook for each tenant of a fleet, several at once."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cutover_fleet
short_description: Run a playbook for each tenant of a fleet, several at once
description:
  - Each tenant's run is an C(ansible-playbook) of its own, with a log of its own. One that fails stops no other.
  - When the playbook that started them ends, or this module is told to end, those under way are told to end too.
    Run again, they go on.
  - Runs on the controller. The action plugin of the same name shows the progress.
version_added: 0.2.0
author:
  - pg-cutover contributors
options:
  steps:
    description:
      - What to run, one step after the other, each C(at_once) and a list of C(children) with C(name), C(argv), C(log),
        C(environment), C(folder), C(reports) and C(host); C(stage), if given, is told as the outcome.
      - A tenant that fails in one step takes no part in the next.
    type: list
    elements: dict
    required: true
  entries:
    description: The entries of tenants that are not run.
    type: list
    elements: dict
    default: []
  owner:
    description: The process of C(ansible-playbook), C(pid) and C(started); the runs do not outlive it.
    type: dict
    default: {}
  work:
    description: The folder with the runs' inventories; it is removed at the end.
    type: path
  report:
    description: The folder that C(fleet.json) is written to.
    type: path
    required: true
  progress_file:
    description: Where the progress is written to. The action plugin fills it in.
    type: path
attributes:
  check_mode:
    description: The runs themselves were prepared with C(--check); C(fleet.json) is not written.
    support: full
"""

EXAMPLES = r"""
- name: Run
  cutover_fleet:
    steps: "{{ prepared.fleet.steps }}"
    owner: "{{ prepared.fleet.owner }}"
    work: "{{ prepared.fleet.work }}"
    report: "{{ prepared.fleet.report }}"
"""

RETURN = r"""
entries:
  description: What came of each tenant.
  returned: success
  type: list
  elements: dict
table:
  description: The summary for the terminal.
  returned: success
  type: list
  elements: str
verdict:
  description: One line, how many are done and which are not.
  returned: success
  type: str
ok:
  description: Whether all are done.
  returned: success
  type: bool
"""

import json
import os
import shutil
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.cutover.fleet import children, summary
from ansible.module_utils.cutover.progress import say
from ansible.module_utils.cutover_module import run


def _work(params: dict[str, Any]) -> list[dict[str, Any]]:
    owner = children.Owner(int(params["owner"].get("pid") or 0), str(params["owner"].get("started") or ""))
    entries: dict[str, dict[str, Any]] = {each["tenant"]: each for each in params["entries"]}
    failed: set[str] = set()
    for step in params["steps"]:
        wanted = {each["name"]: each for each in step["children"] if each["name"] not in failed}
        ended = children.run(
            [
                children.Child(each["name"], tuple(each["argv"]), each["log"], each["environment"], each["folder"])
                for each in wanted.values()
            ],
            int(step["at_once"]),
            owner,
            lambda text: say(params["progress_file"], text),
        )
        for each in ended:
            child = wanted[each.name]
            before = entries.get(each.name) or {}
            entry = summary.entry(each, child["log"], child["reports"], child["host"])
            if entry["ok"] and child.get("stage"):
                entry["outcome"] = child["stage"]
            entry["changed"] = entry["changed"] or bool(before.get("changed"))
            entry["seconds"] = round(entry["seconds"] + float(before.get("seconds") or 0), 1)
            entries[each.name] = entry
            if not entry["ok"]:
                failed.add(each.name)
    return [entries[name] for name in sorted(entries)]


def _write(folder: str, entries: list[dict[str, Any]]) -> None:
    path = os.path.join(folder, "fleet.json")
    made = {"ok": all(each["ok"] for each in entries), "verdict": summary.verdict(entries), "tenants": entries}
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640), "w", encoding="utf-8") as file:
        json.dump(made, file, indent=2)
        file.write("\n")
    link = os.path.join(os.path.dirname(folder), "latest")
    temporary = f"{link}.{os.getpid()}"
    os.symlink(os.path.basename(folder), temporary)
    os.replace(temporary, link)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "steps": {"type": "list", "elements": "dict", "required": True},
            "entries": {"type": "list", "elements": "dict", "default": []},
            "owner": {"type": "dict", "default": {}},
            "work": {"type": "path"},
            "report": {"type": "path", "required": True},
            "progress_file": {"type": "path"},
        },
        supports_check_mode=True,
    )

    def work() -> dict[str, Any]:
        try:
            entries = _work(module.params)
            if not module.check_mode:
                _write(module.params["report"], entries)
        finally:
            if module.params["work"]:
                shutil.rmtree(module.params["work"], ignore_errors=True)
        return {
            "changed": any(each["changed"] for each in entries),
            "entries": entries,
            "table": summary.table(entries),
            "verdict": summary.verdict(entries),
            "ok": all(each["ok"] for each in entries),
        }

    run(module, work)


if __name__ == "__main__":
    main()
