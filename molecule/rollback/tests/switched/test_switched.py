# SPDX-License-Identifier: GPL-3.0-or-later
"""After the second incident: the host is back, the run is not. The application serves from PostgreSQL, and from there alone."""

from __future__ import annotations

from typing import Any

STORED = "SELECT write_id FROM orders WHERE write_id IS NOT NULL"


def test_the_application_serves_from_postgresql(on: Any, serves: Any, still_written: Any) -> None:
    assert serves("db1", "http://web1/health") == "postgresql"
    assert on("web1").service("shop@green").is_running
    assert still_written("db1")


def test_sqlite_refuses(on: Any) -> None:
    # Blue starts with the host, as it always did; it can read, not write.
    order = (
        "import urllib.request as r;"
        'print(r.urlopen(r.Request(\'http://127.0.0.1:8001/orders\', b\'{"write_id": "late", "item": "x"}\')).status)'
    )
    refused = on("web1").run("python3 -c %s", order)
    assert refused.rc != 0
    assert "503" in refused.stderr


def test_nothing_is_lost(psql: Any, written: Any) -> None:
    acknowledged, _ = written("db1")
    assert set(acknowledged.values()) == {"sqlite", "postgresql"}
    assert set(acknowledged) - set(psql(STORED).split("\n")) == set()
