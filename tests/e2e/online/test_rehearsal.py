# SPDX-License-Identifier: GPL-3.0-or-later
"""A rehearsal under load: it predicts, takes nothing from the application, and leaves nothing in the source; killed, it is
in nobody's way once it was called off."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.playbooks import Playbooks, phase
from support.played import Played
from support.postgres import Cluster

pytestmark = pytest.mark.slow

CUTOVER, ROLLBACK = "playbooks/cutover.yml", "playbooks/rollback.yml"
REHEARSE = ("-e", "cutover_rehearsal=true", "-e", "cutover_rehearsal_seconds=4")
OWN = "SELECT name FROM sqlite_schema WHERE name LIKE 'pg_cutover%'"


@pytest.fixture(scope="module")
def rehearse(stage: Played, postgres: Cluster) -> Playbooks:
    """The playbooks with a scratch database; the journal is that of the rehearsal."""
    scratch = postgres.create_database()
    environment = {**stage.playbooks.environment, "CUTOVER_REHEARSAL_URL": scratch.url}
    state = stage.playbooks.state
    return replace(stage.playbooks, environment=environment, state=state.with_name(state.name + "-rehearsal"))


def reported(rehearse: Playbooks) -> dict[str, Any]:
    """The newest report of a rehearsal."""
    path = rehearse.state.parent / "reports/online-rehearsal/latest/report.json"
    made: dict[str, Any] = json.loads(path.read_text())
    return made


def test_killed_it_keeps_the_cutover_out_until_it_is_called_off(stage: Played, rehearse: Playbooks) -> None:
    rehearse.killed(CUTOVER, phase("capture", "done"), *REHEARSE)
    assert stage.in_sqlite(OWN) != []
    assert "A rehearsal of this migration is under way" in stage.playbooks.run(CUTOVER, fails=True)
    rehearse.run(ROLLBACK, *REHEARSE)
    assert stage.in_sqlite(OWN) == []
    assert stage.serves() == "sqlite"
    assert not os.path.exists(rehearse.state / "replication.config.json")


def test_it_predicts_under_load_and_leaves_nothing(stage: Played, rehearse: Playbooks, tmp_path: Path) -> None:
    with stage.load(tmp_path, rate=40) as load:
        said = rehearse.run(CUTOVER, *REHEARSE)
    load.spotless()
    assert "OK · Rehearsed" in said
    made = reported(rehearse)
    assert (made["ok"], made["outcome"], made["application_on"]) == (True, "rehearsed", "source")
    predicted = made["rehearsal"]
    assert predicted["changes_per_second"] > 1
    # The application wrote between the description and the snapshot.
    assert predicted["rows"] >= made["source"]["rows"]
    assert 0 < predicted["hold_ms"] < predicted["hold_budget_ms"]
    assert predicted["trigger_seconds"] is not None
    assert stage.in_sqlite(OWN) == []
    assert stage.serves() == "sqlite"
    # The migration itself knows nothing of it.
    assert not any(event.get("phase") == "capture" for event in stage.playbooks.events())


def test_without_a_scratch_database_or_with_the_target_it_is_refused(stage: Played, rehearse: Playbooks) -> None:
    said = stage.playbooks.run(CUTOVER, *REHEARSE, fails=True)
    assert "needs the owner's URL of a scratch database" in " ".join(said.split())
    target = stage.playbooks.environment["CUTOVER_TARGET_URL"]
    same = replace(rehearse, environment={**rehearse.environment, "CUTOVER_REHEARSAL_URL": target})
    assert "a rehearsal writes to a database of its own" in " ".join(same.run(CUTOVER, *REHEARSE, fails=True).split())
    assert "A rehearsal is of an online cutover" in " ".join(
        rehearse.run(CUTOVER, *REHEARSE, "-e", "cutover_strategy=maintenance", fails=True).split()
    )
