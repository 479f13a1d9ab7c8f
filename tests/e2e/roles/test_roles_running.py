# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens while the stack runs: pooling, maintenance, and the switch of the application."""

from __future__ import annotations

import json
import os
import signal
import stat
import threading
import time
from contextlib import closing

import psycopg2
import pytest

from support.roles_stack import (
    APPLICATION,
    STACK,
    admin,
    application,
    as_app,
    changed,
    pid,
    request,
    role,
    secret,
)

ENV_FILE = STACK / "app.env"

pytestmark = pytest.mark.slow

# ---------------------------------------------------------------- PgBouncer


def test_at_most_ten_server_connections(stack: str) -> None:
    """Thirty sessions at once, each in a transaction for a while."""
    errors: list[Exception] = []

    def work() -> None:
        try:
            with closing(as_app()) as connection, connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(0.5)")
        except psycopg2.Error as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(30)]
    for thread in threads:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in threads):
        most = max(most, admin("SELECT count(*) FROM pg_stat_activity WHERE usename = 'roles_test_app'")[0][0])
        time.sleep(0.1)
    assert not errors
    assert most == 10


def test_new_settings_of_pgbouncer_drop_no_client(stack: str) -> None:
    before = pid("pgbouncer")
    with closing(as_app()) as connection, connection.cursor() as cursor:
        # The run takes longer than the application role may sit in a transaction.
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        cursor.execute("SELECT pg_backend_pid()")
        server = cursor.fetchone()
        assert changed(role("pgbouncer", "main", pgbouncer_query_wait_timeout=61)) > 0
        cursor.execute("SELECT pg_backend_pid()")
        assert cursor.fetchone() == server, "the open transaction goes on"
    assert pid("pgbouncer") == before
    with closing(
        psycopg2.connect(
            host="127.0.0.1",
            port=26432,
            user="pgbouncer_admin",
            password=secret("pgbouncer_admin_password"),
            dbname="pgbouncer",
        )
    ) as console:
        console.autocommit = True
        with console.cursor() as cursor:
            cursor.execute("SHOW CONFIG")
            assert ("query_wait_timeout", "61") in [row[:2] for row in cursor.fetchall()]


# ---------------------------------------------------------------- maintenance


def test_maintenance_writes_all_off(stack: str) -> None:
    assert request("/", "POST")[0] == 201
    output = role("maintenance", "on", maintenance_mode="writes")
    assert changed(output) == 1
    assert changed(role("maintenance", "on", maintenance_mode="writes")) == 0
    status, headers, body = request("/", "POST")
    assert (status, headers["retry-after"], headers["cache-control"]) == (503, "30", "no-store")
    assert "<h1>Maintenance</h1>" in body
    status, headers, body = request("/", "POST", Accept="application/json")
    assert status == 503
    assert headers["content-type"] == "application/json"
    assert json.loads(body)["error"] == "maintenance"
    assert request("/", "DELETE")[0] == 503
    assert request("/")[0] == 200, "reads go on"
    assert request("/", "HEAD")[0] == 200

    # A reload reads the map file again.
    os.kill(pid("haproxy"), signal.SIGUSR2)
    time.sleep(1)
    assert request("/", "POST")[0] == 503

    role("maintenance", "on", maintenance_mode="all")
    assert request("/")[0] == 503
    assert request("/", "HEAD")[0] == 503
    assert changed(role("maintenance", "off")) == 1
    assert changed(role("maintenance", "off")) == 0
    assert request("/")[0] == 200
    assert request("/", "POST")[0] == 201


def test_requests_come_through_only_when_the_proxy_sees_the_application(stack: str) -> None:
    role("maintenance", "on", maintenance_mode="all")
    application("stop")
    time.sleep(2)
    application("start")
    role("maintenance", "off")
    assert request("/")[0] == 200


def test_maintenance_waits_for_the_write_under_way(stack: str) -> None:
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(request("/?seconds=15", "POST")[0]))
    thread.start()
    try:
        time.sleep(0.3)
        output = role("maintenance", "on", maintenance_drain_timeout=1, fails=True)
        assert "1 request(s) still in flight on blue_write after 1 s" in output
        role("maintenance", "on")
        assert answers == [201], "the write was let finish, and the role waited for it"
    finally:
        thread.join(30)
        role("maintenance", "off")


def test_maintenance_by_commands(stack: str) -> None:
    mark = STACK / "closed"
    variables = {
        "maintenance_method": "command",
        "maintenance_command_on": ["touch", str(mark)],
        "maintenance_command_off": ["rm", str(mark)],
    }
    role("maintenance", "on", **variables)
    assert mark.exists()
    role("maintenance", "off", **variables)
    assert not mark.exists()
    assert "which needs" in role("maintenance", "on", fails=True, maintenance_method="command")


# ---------------------------------------------------------------- the application


def test_application_is_switched_and_restored(stack: str) -> None:
    former = ENV_FILE.read_bytes()
    owner = ENV_FILE.stat().st_uid
    assert changed(role("application", "switch", check=True)) > 0
    assert ENV_FILE.read_bytes() == former

    role("application", "switch")
    assert json.loads(request("/health", base=APPLICATION)[2])["database"] == "postgresql"
    url = f"postgresql://roles_test_app:{secret('app_password')}@127.0.0.1:26432/roles_test"
    assert f'export DATABASE_URL="{url}"' in ENV_FILE.read_text().splitlines()
    assert stat.S_IMODE(ENV_FILE.stat().st_mode) == 0o600
    assert ENV_FILE.stat().st_uid == owner
    assert changed(role("application", "switch")) == 0
    role("application", "smoke")

    # As if a run had been killed between the file and the restart.
    application("stop")
    role("application", "switch")
    assert json.loads(request("/health", base=APPLICATION)[2])["database"] == "postgresql"

    role("application", "restore")
    assert ENV_FILE.read_bytes() == former
    assert json.loads(request("/health", base=APPLICATION)[2])["database"] == "sqlite"
    assert changed(role("application", "restore")) == 0


def test_unhealthy_application_is_an_error_that_says_what_it_answered(stack: str) -> None:
    quick = {"application_health_timeout": 2}
    output = role("application", "health", fails=True, application_expected_database="postgresql", **quick)
    assert "says database=sqlite instead of postgresql" in output
    output = role("application", "health", fails=True, application_health_url=f"{APPLICATION}/missing", **quick)
    assert "answered 404 instead of 200" in output
    output = role("application", "health", fails=True, application_health_url="http://127.0.0.1:28089/", **quick)
    assert "did not answer" in output
    output = role("application", "smoke", fails=True, application_smoke_urls=[{"url": "/", "status": 418}])
    assert "418" in output
