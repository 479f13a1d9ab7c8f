# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's application on its way between both databases while load is on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.played import Place, Played, played
from support.postgres import Cluster

PLACE = Place("online", "tests/e2e/online/hosts.yml", Path("/var/lib/pg-cutover-online"), 34080)


@pytest.fixture(scope="module")
def stage(postgres: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """The demo's application on SQLite behind HAProxy, beside an empty database."""
    with played(PLACE, postgres, tmp_path_factory.mktemp("output")) as made:
        yield made
