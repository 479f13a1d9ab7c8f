# SPDX-License-Identifier: GPL-3.0-or-later
"""After the cutover by the example inventory: both hosts of the application are on PostgreSQL, behind both proxies."""

from __future__ import annotations

import re
from typing import Any

import pytest

from support.playbooks import ansible
from support.project import ROOT

HOSTS = ("files1", "app1", "app2", "lb1", "lb2", "pool1", "db1")


@pytest.mark.parametrize("address", ["lb1", "lb2", "app1:8001", "app2:8001"])
def test_it_serves_from_postgresql(serves: Any, address: str) -> None:
    assert serves("lb1", f"http://{address}/health") == "postgresql"


def test_no_acknowledged_order_is_lost(psql: Any, written: Any) -> None:
    acknowledged, failed = written("lb1")
    assert set(acknowledged.values()) == {"sqlite", "postgresql"}, "it was written before and after the switch"
    stored = set(psql("SELECT write_id FROM orders WHERE write_id IS NOT NULL").split("\n"))
    assert set(acknowledged) - stored == set()
    # Maintenance refuses orders, and says so; nothing else went wrong.
    refused = [line.split(maxsplit=3)[2] for line in failed.splitlines()]
    assert set(refused) == {"503"}
    assert "sqlite" in acknowledged.values()


def test_orders_go_on(still_written: Any) -> None:
    assert still_written("lb1")


@pytest.mark.parametrize("host", ["app1", "app2"])
def test_each_host_has_the_url_and_keeps_it_to_itself(on: Any, host: str) -> None:
    file = on(host).file("/etc/shop/blue.env")
    assert (file.user, oct(file.mode)) == ("root", oct(0o600))
    assert "DATABASE_URL=postgresql://shop_app:" in file.content_string
    assert "@pool1:6432/shop" in file.content_string
    assert on(host).service("shop@blue").is_running


def test_the_file_takes_no_writes(on: Any) -> None:
    for host in ("files1", "app1", "app2"):
        done = on(host).run(
            "runuser -u shop -- python3 -c %s",
            "import sqlite3; sqlite3.connect('/srv/shop/shop.sqlite').execute('DELETE FROM orders')",
        )
        assert done.rc != 0, host


def test_check_mode_finds_nothing_to_change_on_the_finished_system() -> None:
    done = ansible(
        *("--check", "--diff", "-i", str(ROOT / "inventories/example")),
        *("-i", str(ROOT / "molecule/shared/connection.yml"), "-i", str(ROOT / "molecule/example/inventory.yml")),
        str(ROOT / "playbooks/cutover.yml"),
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    recap = dict(re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", done.stdout, re.MULTILINE))
    assert set(recap) >= set(HOSTS)
    changed = re.findall(r"^changed: .*", done.stdout, re.MULTILINE)
    assert {host: count for host, count in recap.items() if count != "0"} == {}, changed
