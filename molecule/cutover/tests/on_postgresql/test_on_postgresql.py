# SPDX-License-Identifier: GPL-3.0-or-later
"""After the cutover, while orders go on: PostgreSQL serves behind both proxies, SQLite is closed and kept up to date."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest


@pytest.fixture(scope="session")
def app(secret: Any) -> dict[str, Any]:
    """How the application connects: through PgBouncer."""
    return {"host": "pool1", "port": 6432, "dbname": "shop", "user": "shop_app", "password": secret("app_password")}


def test_both_proxies_lead_to_postgresql(on: Any, serves: Any) -> None:
    for proxy in ("web1", "lb1"):
        assert serves("lb1", f"http://{proxy}/health") == "postgresql"
        # Also what a restart of the proxy would read.
        assert "route green" in on(proxy).file("/etc/haproxy/pg-cutover/cutover.map").content_string


def test_no_order_failed_or_was_lost(psql: Any, written: Any) -> None:
    acknowledged, failed = written("lb1")
    assert failed == ""
    assert set(acknowledged.values()) == {"sqlite", "postgresql"}, "it was written before and after the switch"
    stored = set(psql("SELECT write_id FROM orders WHERE write_id IS NOT NULL").split("\n"))
    assert set(acknowledged) - stored == set()


def test_units(on: Any) -> None:
    web = on("web1")
    assert web.service("shop@green").is_running
    assert web.service("shop@green").is_enabled, "green has to come back with the host"
    assert not web.service("shop@blue").is_running
    assert web.service("pg-cutover-shop").is_running
    assert web.service("pg-cutover-shop").is_enabled
    assert "from PostgreSQL to SQLite" in web.check_output("systemctl show -p Description pg-cutover-shop")


def test_the_file_is_sealed_and_kept_up_to_date(on: Any, sqlite: Any) -> None:
    file = on("web1").file("/srv/shop/shop.sqlite")
    assert (file.user, oct(file.mode & 0o222)) == ("shop", "0o0")
    before = sqlite("SELECT count(*) FROM orders")
    for _ in range(50):
        time.sleep(0.2)
        if sqlite("SELECT count(*) FROM orders") != before:
            return
    pytest.fail("no order arrived in SQLite within 10 s")


@pytest.mark.parametrize(
    ("host", "path", "owner", "mode"),
    [
        ("web1", "/etc/shop/green.env", "root", 0o600),
        ("web1", "/var/lib/pg-cutover/shop", "root", 0o700),
        ("web1", "/var/lib/pg-cutover/shop/replication.config.json", "root", 0o600),
        ("web1", "/etc/pg-cutover/proxy", "root", 0o700),
        ("web1", "/etc/pg-cutover/proxy/client.key", "root", 0o600),
        ("lb1", "/etc/haproxy/pg-cutover/admin/server.pem", "root", 0o600),
        ("pool1", "/etc/pgbouncer/userlist.txt", "postgres", 0o600),
    ],
)
def test_modes(on: Any, host: str, path: str, owner: str, mode: int) -> None:
    file = on(host).file(path)
    assert (file.user, oct(file.mode)) == (owner, oct(mode))


def test_secrets_are_in_no_command_line_and_no_environment_but_the_applications(on: Any, secret: Any) -> None:
    passwords = [secret(name) for name in ("app_password", "owner_password", "pgbouncer_auth_password")]
    for host in ("web1", "lb1", "db1", "pool1"):
        lines = on(host).check_output(
            "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; journalctl --no-pager -o cat"
        )
        assert [password for password in passwords if password in lines] == []
    # systemd gives the application its own URL, and nobody else's.
    environments = on("web1").check_output("cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'")
    assert passwords[1] not in environments


def test_the_remote_proxy_asks_for_a_certificate(on: Any) -> None:
    script = (
        "import socket, ssl, sys; c = ssl.create_default_context(cafile='/etc/pg-cutover/proxy/ca.pem');"
        "len(sys.argv) > 1 and c.load_cert_chain('/etc/pg-cutover/proxy/client.pem', '/etc/pg-cutover/proxy/client.key');"
        "s = c.wrap_socket(socket.create_connection(('lb1', 9999), 10), server_hostname='lb1');"
        "s.sendall(b'show map /etc/haproxy/pg-cutover/cutover.map\\n'); print(s.recv(9999).decode())"
    )
    assert "route green" in on("web1").check_output("python3 -c %s with", script)
    without = on("web1").run("python3 -c %s", script)
    assert "route" not in without.stdout
    # The admin socket itself is root's alone.
    assert oct(on("lb1").file("/run/haproxy/admin.sock").mode) == oct(0o600)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE public.mine (id int)",
        "DROP TABLE public.orders",
        "ALTER TABLE public.orders ADD COLUMN mine int",
        "ALTER TABLE public.orders DISABLE TRIGGER ALL",
        "TRUNCATE public.orders",
    ],
)
def test_the_application_may_not(ask: Any, app: dict[str, Any], statement: str) -> None:
    answer = ask("web1", statement, **app)
    assert answer.get("error") == "42501", answer


def test_the_change_log_is_not_the_applications(ask: Any, psql: Any, app: dict[str, Any]) -> None:
    tables = psql("SELECT tablename FROM pg_tables WHERE schemaname = 'pgcutover' ORDER BY 1").split("\n")
    assert "journal" in tables
    for table in tables:
        for statement in ("SELECT * FROM", "DELETE FROM"):
            answer = ask("web1", f'{statement} pgcutover."{table}"', **app)
            assert answer.get("error") == "42501", (table, answer)


def test_pools_under_load(ask: Any, app: dict[str, Any], secret: Any) -> None:
    console = {**app, "dbname": "pgbouncer", "user": "pgbouncer_admin", "password": secret("pgbouncer_admin_password")}
    answer = ask("web1", "SHOW POOLS", **console)
    pools = [dict(zip(answer["columns"], row)) for row in answer["rows"]]
    ours = next(pool for pool in pools if (pool["database"], pool["user"]) == ("shop", "shop_app"))
    assert ours["pool_mode"] == "transaction"
    assert 1 <= int(ours["sv_active"]) + int(ours["sv_idle"]) + int(ours["sv_used"]) <= 10
    assert int(ours["cl_waiting"]) == 0


def test_the_source_host_remembers(on: Any) -> None:
    lines = on("web1").check_output("cat /var/lib/pg-cutover/shop/journal.jsonl").splitlines()
    held = [found for line in lines if (found := (json.loads(line).get("detail") or {}).get("hold_ms")) is not None]
    assert len(held) >= 1


def test_connections_are_encrypted_as_the_inventory_says(
    ask: Any, psql: Any, variables: Any, app: dict[str, Any], secret: Any
) -> None:
    assert "rows" in ask("web1", "SELECT 1", **app)
    # PgBouncer's sessions stay for a while after those of its clients, and the engine follows.
    used = psql("SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE client_addr IS NOT NULL")
    assert used == ("t" if variables["shop_tls"] else "f")
    console = {**app, "dbname": "pgbouncer", "user": "pgbouncer_admin", "password": secret("pgbouncer_admin_password")}
    answer = ask("web1", "SHOW CLIENTS", **console)
    clients = [dict(zip(answer["columns"], row)) for row in answer["rows"]]
    assert {bool(client["tls"]) for client in clients if client["addr"] != "unix"} == {variables["shop_tls"]}


def test_the_application_proves_whom_it_talks_to(on: Any, secret: Any) -> None:
    lines = on("web1").file("/etc/shop/green.env").content_string.splitlines()
    url = next(line.partition("=")[2] for line in lines if line.startswith("DATABASE_URL="))
    assert "sslmode=verify-full" in url
    ask = "import psycopg2, sys; psycopg2.connect(sys.stdin.read().strip()); print('let in')"
    assert on("web1").check_output("printf %%s %s | runuser -u shop -- python3 -c %s", url, ask) == "let in"
    # By an address it is another name than the certificate's.
    other = url.replace("@pool1:", f"@{on('web1').check_output('getent hosts pool1').split()[0]}:")
    refused = on("web1").run("printf %%s %s | python3 -c %s", other, ask)
    assert refused.rc != 0
    assert "certificate" in refused.stderr
