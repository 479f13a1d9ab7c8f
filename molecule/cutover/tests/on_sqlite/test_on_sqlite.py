# SPDX-License-Identifier: GPL-3.0-or-later
"""After the way back: the application is on SQLite with every order, PostgreSQL is closed and follows."""

from __future__ import annotations

from typing import Any


def test_both_proxies_lead_to_sqlite(on: Any, serves: Any) -> None:
    for proxy in ("web1", "lb1"):
        assert serves("lb1", f"http://{proxy}/health") == "sqlite"
        assert "route blue" in on(proxy).file("/etc/haproxy/pg-cutover/cutover.map").content_string


def test_no_order_failed_or_was_lost(sqlite: Any, written: Any) -> None:
    acknowledged, failed = written("lb1")
    assert failed == ""
    for writer in ("w-0", "w-1"):
        took = [database for write_id, database in acknowledged.items() if write_id.startswith(writer)]
        turns = [now for before, now in zip(["", *took], took) if now != before]
        assert turns == ["sqlite", "postgresql", "sqlite"], "one writable database after the other"
    assert set(acknowledged) - set(sqlite("SELECT write_id FROM orders WHERE write_id IS NOT NULL")) == set()


def test_units(on: Any) -> None:
    web = on("web1")
    assert web.service("shop@blue").is_running
    assert web.service("shop@blue").is_enabled, "as it was before the cutover"
    assert not web.service("shop@green").is_running
    assert not web.service("shop@green").is_enabled
    assert web.service("pg-cutover-shop").is_running
    assert "from SQLite to PostgreSQL" in web.check_output("systemctl show -p Description pg-cutover-shop")


def test_the_file_is_as_it_was(on: Any) -> None:
    file = on("web1").file("/srv/shop/shop.sqlite")
    assert (file.user, file.group, oct(file.mode)) == ("shop", "shop", oct(0o644))
    assert on("web1").run("runuser -u shop -- test -w /srv/shop/shop.sqlite").rc == 0


def test_postgresql_is_closed(ask: Any, secret: Any) -> None:
    app = {"host": "pool1", "port": 6432, "dbname": "shop", "user": "shop_app", "password": secret("app_password")}
    answer = ask("web1", "INSERT INTO orders (write_id, customer_id, item) VALUES ('x', 1, 'x')", **app)
    assert answer.get("error") in ("42501", "25006"), answer
