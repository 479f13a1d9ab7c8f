# SPDX-License-Identifier: GPL-3.0-or-later
"""After rollback.yml: the application is back on SQLite, with the orders of both."""

from __future__ import annotations

from typing import Any

STORED = "SELECT write_id FROM orders WHERE write_id IS NOT NULL"


def test_the_application_serves_from_sqlite(on: Any, serves: Any) -> None:
    assert serves("db1", "http://web1/health") == "sqlite"
    assert on("web1").service("shop@blue").is_running
    assert not on("web1").service("shop@green").is_running


def test_nothing_is_lost(sqlite: Any, written: Any) -> None:
    acknowledged, _ = written("db1")
    took = list(acknowledged.values())
    turns = [now for before, now in zip(["", *took], took) if now != before]
    assert turns == ["sqlite", "postgresql", "sqlite"], "one writable database after the other"
    assert set(acknowledged) - set(sqlite(STORED)) == set()
