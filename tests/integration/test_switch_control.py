# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof can fail: a switch that does not hold the writes loses some, and load and comparison both say so."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from support.demo_switch import demo_stage
from support.load import Load, load
from support.postgres import Cluster

RATE = 120


def switch(folder: Path, postgres: Cluster, how: str) -> tuple[dict[str, Any], Load]:
    """Switch the demo's application under load. Both ways of it take a tenth of a second between decision and route."""
    folder.chmod(0o755)
    with demo_stage(folder, postgres, 0.01) as ready, load(ready.proxy.port, folder, RATE, 0.5) as found:
        time.sleep(1)
        told = ready.run("forward", how, "fenced")
        time.sleep(1)
    assert told.get("direction") == "forward", told
    return told, found


def test_with_the_hold_nothing_is_lost(tmp_path: Path, postgres: Cluster) -> None:
    told, found = switch(tmp_path, postgres, "slow")
    found.spotless()
    assert found.figures["databases"] == ["sqlite", "postgresql"]
    assert told["verified"]["ok"]


def test_without_the_hold_the_load_and_the_comparison_find_what_is_lost(tmp_path: Path, postgres: Cluster) -> None:
    told, found = switch(tmp_path, postgres, "unheld")
    assert found.lost
    with pytest.raises(AssertionError):
        found.spotless()
    assert not told["verified"]["ok"]
    different = {line["name"] for line in told["verified"]["tables"] if line["rows_only_source"]}
    assert "messages" in different
