# SPDX-License-Identifier: GPL-3.0-or-later
"""After rollback.yml: the cutover is called off, and nothing of it works on the source any more."""

from __future__ import annotations

from typing import Any

STORED = "SELECT write_id FROM orders WHERE write_id IS NOT NULL"


def test_the_application_serves_from_sqlite(serves: Any, still_written: Any) -> None:
    assert serves("db1", "http://web1/health") == "sqlite"
    assert still_written("db1")


def test_nothing_watches_the_file(on: Any, sqlite: Any) -> None:
    assert not on("web1").service("pg-cutover-shop").is_running
    assert not on("web1").service("pg-cutover-shop").is_enabled
    assert sqlite("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'") == ["0"]


def test_nothing_is_lost(sqlite: Any, written: Any) -> None:
    acknowledged, _ = written("db1")
    assert set(acknowledged.values()) == {"sqlite"}
    assert set(acknowledged) - set(sqlite(STORED)) == set()
