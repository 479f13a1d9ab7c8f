# SPDX-License-Identifier: GPL-3.0-or-later
"""After the first incident: the host is back, the run is not. The application serves from SQLite, and PostgreSQL follows."""

from __future__ import annotations

from typing import Any

STORED = "SELECT write_id FROM orders WHERE write_id IS NOT NULL"


def test_the_application_serves_from_sqlite(serves: Any, still_written: Any) -> None:
    assert serves("db1", "http://web1/health") == "sqlite"
    assert still_written("db1")


def test_the_following_goes_on_without_anybody(on: Any) -> None:
    web = on("web1")
    assert web.service("pg-cutover-shop").is_running
    assert "from SQLite to PostgreSQL" in web.check_output("systemctl show -p Description pg-cutover-shop")


def test_nothing_is_lost(sqlite: Any, written: Any) -> None:
    acknowledged, _ = written("db1")
    assert set(acknowledged.values()) == {"sqlite"}
    assert set(acknowledged) - set(sqlite(STORED)) == set()
