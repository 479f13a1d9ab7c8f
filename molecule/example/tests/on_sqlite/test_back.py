# SPDX-License-Identifier: GPL-3.0-or-later
"""After the way back by the example inventory: both hosts are on SQLite, with every order that SQLite had acknowledged."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize("address", ["lb1", "lb2", "app1:8001", "app2:8001"])
def test_it_serves_from_sqlite(serves: Any, address: str) -> None:
    assert serves("lb1", f"http://{address}/health") == "sqlite"


def test_what_sqlite_acknowledged_is_there(on: Any, written: Any) -> None:
    acknowledged, _ = written("lb1")
    ask = (
        "import sqlite3; print(*(row[0] for row in sqlite3.connect('file:/srv/shop/shop.sqlite?mode=ro', uri=True)"
        ".execute('SELECT write_id FROM orders')), sep='\\n')"
    )
    stored = set(on("files1").check_output("python3 -c %s", ask).splitlines())
    took = {write_id for write_id, database in acknowledged.items() if database == "sqlite"}
    assert took
    assert took - stored == set()


def test_the_file_takes_writes_again(still_written: Any) -> None:
    assert still_written("lb1")
