# SPDX-License-Identifier: GPL-3.0-or-later
"""After cutover.yml was run again: it has ended what the killed run had begun."""

from __future__ import annotations

from typing import Any

STORED = "SELECT write_id FROM orders WHERE write_id IS NOT NULL"


def test_the_application_serves_from_postgresql(on: Any, serves: Any, still_written: Any) -> None:
    assert serves("db1", "http://web1/health") == "postgresql"
    assert on("web1").service("shop@green").is_running
    assert not on("web1").service("shop@blue").is_running
    assert still_written("db1")


def test_the_way_back_is_kept(on: Any) -> None:
    web = on("web1")
    assert web.service("pg-cutover-shop").is_running
    assert "from PostgreSQL to SQLite" in web.check_output("systemctl show -p Description pg-cutover-shop")


def test_nothing_is_lost(psql: Any, written: Any) -> None:
    acknowledged, _ = written("db1")
    assert set(acknowledged) - set(psql(STORED).split("\n")) == set()
