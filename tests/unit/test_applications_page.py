# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/applications.md shows exactly the decisions that the software was moved with."""

from __future__ import annotations

import re

import yaml

from support.project import ROOT

PAGE = (ROOT / "docs/applications.md").read_text()
APPLICATIONS = sorted((ROOT / "tests/software/apps").glob("*/overrides.yml"))


def test_every_decision_of_the_applications_is_on_the_page_and_no_other() -> None:
    decided = [yaml.safe_load(path.read_text()) for path in APPLICATIONS]
    assert len(decided) >= 3
    wanted = [entry[mode] for entry in decided for mode in ("derive", "existing") if entry[mode]]
    shown = [yaml.safe_load(block)["cutover_plan_overrides"] for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.S)]
    assert sorted(map(repr, shown)) == sorted(map(repr, wanted))


def test_what_is_run_after_a_derived_schema_is_on_the_page() -> None:
    blocks = [block.split(";\n")[:-1] for block in re.findall(r"```sql\n(.*?)```", PAGE, re.S)]
    afters = [yaml.safe_load(path.read_text()).get("after") for path in APPLICATIONS]
    assert sorted(blocks) == sorted(after for after in afters if after)
