#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the report of a run from its journal."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cutover_report
short_description: Make the report of a run from its journal
description:
  - Puts together what C(report.json), C(report.html) and the terminal say of a run,
    or what C(preflight.json) says.
  - Runs on the controller, changes nothing and writes no file; the role C(report) does that.
  - I(ok) is computed from what the journal proves. What is missing, unknown or out of date makes it false.
  - Passwords in texts are hidden, in the result as well as in what Ansible shows of the arguments.
version_added: 0.1.0
author:
  - pg-cutover contributors
options:
  stage:
    description:
      - C(report) for the report at the end of a run.
      - C(preflight) for the findings alone, as go or no-go.
    type: str
    choices: [report, preflight]
    default: report
  journal:
    description: The events of the journal. Those of other runs are left out.
    type: list
    elements: raw
    default: []
  plan:
    description: The plan of the migration.
    type: dict
    default: {}
  findings:
    description: What the preflight found.
    type: list
    elements: raw
    required: true
  overrides:
    description: C(cutover_plan_overrides) as they are, for the file of decisions of I(stage=preflight).
    type: dict
    default: {}
  context:
    description:
      - What the journal does not hold.
      - C(name) and C(run) name the folder of the report.
      - C(strategy), C(outcome), C(message), C(target), C(database_before) and C(database_after) are told
        as they are, without passwords.
      - C(now) is the time of the report, in UTC as ISO 8601.
      - C(retention_days), if given, tells until when the way back is promised.
      - C(source) describes the SQLite file to I(stage=preflight) when there is no plan yet.
    type: dict
    required: true
  root:
    description: The folder of all reports, for the path in the summary.
    type: path
    required: true
attributes:
  check_mode:
    description: Changes nothing in any case.
    support: full
"""

EXAMPLES = r"""
- name: Make the report
  cutover_report:
    journal: "{{ cutover_journal }}"
    plan: "{{ cutover_plan }}"
    findings: "{{ cutover_findings }}"
    context:
      name: shop
      run: 20261122T153000-ab12
      strategy: maintenance
      outcome: released
      message: ""
      target: {host: 127.0.0.1, port: 5432, database: shop, server_version: "15.8"}
      database_before: sqlite:////srv/shop/shop.sqlite
      database_after: postgresql://shop_app@127.0.0.1:6432/shop
      now: "2026-11-22T15:41:12.000000+00:00"
    root: /srv/reports
  delegate_to: localhost
  register: made

- name: Say go or no-go
  cutover_report:
    stage: preflight
    findings: "{{ cutover_findings }}"
    context: {name: shop, run: 20261122T153000-ab12, source: {path: /srv/shop/shop.sqlite, tables: 12}}
    root: /srv/reports
  delegate_to: localhost
"""

RETURN = r"""
report:
  description: The content of report.json, or of preflight.json.
  returned: always
  type: dict
page:
  description: Every text of report.html, escaped for HTML.
  returned: when I(stage=report)
  type: dict
summary:
  description: What the terminal shows, at most 25 lines for a report.
  returned: always
  type: str
decisions:
  description: The entries of all findings in one, as YAML; empty when no finding has one.
  returned: when I(stage=preflight)
  type: str
folder:
  description: Where the files of this run belong.
  returned: always
  type: str
"""

import os
import re

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.cutover.report import build, page, preflight, preflight_summary, redact, summary, together

#: Name and run become folders: nothing in them may lead out of the folder of the reports.
FOLDER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def main() -> None:
    """Make the report."""
    module = AnsibleModule(
        argument_spec={
            "stage": {"type": "str", "choices": ["report", "preflight"], "default": "report"},
            "journal": {"type": "list", "elements": "raw", "default": []},
            "plan": {"type": "dict", "default": {}},
            "findings": {"type": "list", "elements": "raw", "required": True},
            "overrides": {"type": "dict", "default": {}},
            "context": {"type": "dict", "required": True},
            "root": {"type": "path", "required": True},
        },
        supports_check_mode=True,
        # The arguments would go to the system log as they came.
        no_log=True,
    )
    given = module.params
    context = given["context"]
    # Ansible shows a module's arguments at -vvv, unless the module says itself what they were.
    shown = {"invocation": {"module_args": redact(given)}}
    for part in ("name", "run"):
        if not FOLDER_NAME.fullmatch(str(context.get(part) or "")):
            module.fail_json(
                msg=f"context.{part} must be a plain name (letters, digits, _ . -): it names a folder. "
                f"It is {redact(context.get(part))!r}.",
                **shown,
            )
    folder = os.path.join(given["root"], str(context["name"]), str(context["run"]))
    if given["stage"] == "preflight":
        made = preflight(given["findings"], context, given["plan"])
        decisions = together(made["findings"], given["overrides"])
        told = preflight_summary(made, folder, bool(decisions))
        module.exit_json(changed=False, report=made, summary=told, decisions=decisions, folder=folder, **shown)
    made = build(given["journal"], given["plan"], given["findings"], context)
    module.exit_json(changed=False, report=made, page=page(made), summary=summary(made, folder), folder=folder, **shown)


if __name__ == "__main__":
    main()
