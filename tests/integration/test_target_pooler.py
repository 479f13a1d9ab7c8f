# SPDX-License-Identifier: GPL-3.0-or-later
"""A pooler between the engine and PostgreSQL: recognised by what a real PgBouncer does, never where there is none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest

from cutover.errors import Finding, TargetError
from cutover.target import capabilities, pooler
from cutover.target.connect import connect
from cutover.target.limits import Use
from support.independent import execute, fetch
from support.pgbouncer import pgbouncer
from support.postgres import Cluster


def refused(url: str, use: Use | None = None) -> str:
    """The one finding of a target that is refused for what stands before it."""
    able, [finding] = capabilities.look(url, use or Use())
    assert able == {}
    assert finding.severity == "error"
    return finding.message


@pytest.fixture
def busy(database: str) -> Iterator[str]:
    """The URL of a database that others use all the time."""
    stop = threading.Event()

    def work() -> None:
        with closing(psycopg2.connect(database)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                while not stop.wait(0.005):
                    cursor.execute("SELECT count(*) FROM pg_class")

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    yield database
    stop.set()
    for thread in threads:
        thread.join(10)


# ---------------------------------------------------------------- how it behaves


def test_direct_connection_is_never_taken_for_a_pooler(busy: str) -> None:
    for _ in range(25):
        between = pooler.recognise(busy)
        assert between == pooler.Between(pooler.DIRECT, "", between.server)
        assert not between.shares


def test_direct_connection_that_answers_too_late_is_not_taken_for_a_pooler(busy: str) -> None:
    judged = 0
    for patience in [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512] * 3 + [30]:
        try:
            judged += 1
            assert not pooler.recognise(busy, patience).shares
        except TargetError as error:
            judged -= 1
            assert "in time" in error.message or "timeout expired" in error.message
    assert judged, "none was quick enough to be judged"


@pytest.mark.parametrize(
    "settings",
    [{}, {"default_pool_size": 1}, {"server_round_robin": 1}, {"default_pool_size": 2, "max_db_connections": 2}],
    ids=["as it comes", "one session", "round robin", "two sessions"],
)
def test_transaction_mode(database: str, settings: dict[str, object]) -> None:
    with pgbouncer(database, "transaction", **settings) as url:
        assert pooler.recognise(url).mode == pooler.TRANSACTION
        said = refused(url)
    host, port, _ = pooler.place(url)
    direct = pooler.place(database)[1]
    assert said.startswith(
        f"{host} port {port} is a connection pooler in transaction mode (two open connections met the same "
    )
    assert (
        f"Use the address of PostgreSQL itself, which says that it listens on port {direct} of 127.0.0.1, or of" in said
    )
    assert said.endswith("only the application may go through it (cutover_application_url).")
    # What to do is in the part of a long message that the terminal shows.
    assert said.index("127.0.0.1, or of") < 250


def test_transaction_mode_with_many_sessions_that_are_warm_and_busy(database: str) -> None:
    """The pool hands out whatever session is free; others take and give back all the time."""
    with pgbouncer(database, "transaction", server_round_robin=1, default_pool_size=20, min_pool_size=15) as url:
        warm = [psycopg2.connect(url) for _ in range(15)]
        for connection in warm:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        for connection in warm:
            connection.commit()
        try:
            assert [pooler.recognise(url).mode for _ in range(5)] == [pooler.TRANSACTION] * 5
        finally:
            for connection in warm:
                connection.close()


def test_statement_mode(database: str) -> None:
    with pgbouncer(database, "statement") as url:
        assert "is a connection pooler in statement mode (it refuses transactions of several statements)" in refused(
            url
        )


def test_nothing_is_left_behind_in_the_sessions_of_others(database: str) -> None:
    with pgbouncer(database, "transaction", default_pool_size=1) as url:
        refused(url)
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute("SHOW search_path")
            assert cursor.fetchone() == ('"$user", public',)
            cursor.execute("SELECT current_setting('pgcutover.applying', true)")
            assert cursor.fetchone() == (None,)


def test_session_mode_will_do(database: str) -> None:
    with pgbouncer(database, "session") as url:
        assert pooler.recognise(url).mode == pooler.SESSION
        able, found = capabilities.look(url, Use(workers=4, online=True))
        assert able["between"] == "session"
        assert severities(found) == {"info"}
        [told] = [finding.message for finding in found if "stands between" in finding.message]
        assert told.endswith("That will do; 8 connections were served at the same time.")
        # And the engine's settings hold there.
        with closing(connect(url, autocommit=True)) as connection, connection.cursor() as cursor:
            cursor.execute("SHOW search_path")
            assert cursor.fetchone() == ("pg_catalog",)


@pytest.mark.parametrize(("size", "fits"), [(1, "no number of workers would fit"), (6, "cutover_workers: 2 would fit")])
def test_session_mode_with_too_small_a_pool(database: str, size: int, fits: str) -> None:
    with pgbouncer(database, "session", default_pool_size=size) as url:
        _, found = capabilities.look(url, Use(workers=4, online=True))
    [said] = [finding.message for finding in found if finding.severity == "error"]
    assert f"serves {size} connections at the same time, and the run needs 8: 4 workers and 4 others" in said
    assert said.endswith(f"{fits}.")
    assert f"port {pooler.place(database)[1]} of 127.0.0.1" in said


def test_option_that_a_pooler_does_not_know(database: str) -> None:
    with pgbouncer(database, "transaction") as url:
        said = refused(f"{url}?options=-csearch_path%3Dshop")
    assert "a connection pooler stands at this address, and it refuses what the URL asks for behind the ?" in said


def severities(found: list[Finding]) -> set[str]:
    return {finding.severity for finding in found}


# ---------------------------------------------------------------- addresses that are known

SUPABASE = "postgresql://postgres.abcdefghij:secret@aws-0-eu-central-1.pooler.supabase.com"


@pytest.mark.parametrize(
    ("url", "name", "instead"),
    [
        (f"{SUPABASE}:6543/postgres", "Supabase's pooler", "port 5432 of the same host (its session mode), or db.abcdefghij.supabase.co"),
        ("postgresql://postgres:secret@db.abcdefghij.supabase.co:6543/postgres", "Supabase's dedicated pooler", "port 5432 of the same"),
        (
            "postgresql://me:secret@ep-cool-darkness-a1b2c3d4-pooler.us-east-2.aws.neon.tech/shop?sslmode=require",
            "Neon's pooler",
            "the host ep-cool-darkness-a1b2c3d4.us-east-2.aws.neon.tech (direct",
        ),
        ("postgresql://me:secret@shop.postgres.database.azure.com:6432/shop", "Azure's built-in PgBouncer", "port 5432 of"),
        ("postgresql://me:secret@db-1-do-user-1-0.b.db.ondigitalocean.com:25061/pool", "DigitalOcean's", "port 25060 of"),
        ("postgresql://me:secret@shop.proxy-c1a2b3d4.eu-west-1.rds.amazonaws.com/shop", "RDS Proxy", "the endpoint of the"),
    ],
)  # fmt: skip
def test_pooled_address_is_refused_by_its_name_with_the_direct_one(url: str, name: str, instead: str) -> None:
    said = refused(url)
    assert f"is {name}" in said
    assert f"Use {instead}" in said
    assert "secret" not in said


@pytest.mark.parametrize(
    "url",
    [
        f"{SUPABASE}:5432/postgres",
        "postgresql://postgres:secret@db.abcdefghij.supabase.co:5432/postgres",
        "postgresql://me:secret@ep-cool-darkness-a1b2c3d4.us-east-2.aws.neon.tech/shop",
        "postgresql://me:secret@ep-cool-pooler-a1b2c3d4.us-east-2.aws.neon.tech/shop",
        "postgresql://me:secret@shop.c1a2b3d4.eu-west-1.rds.amazonaws.com/shop",
        "postgresql://me:secret@127.0.0.1:6543/shop",
        "postgresql://me:secret@db-pooler.example.com/shop",
        "postgresql://me:secret@[::1]:6543/shop",
    ],
)
def test_other_address_is_not_judged_by_its_name(url: str) -> None:
    assert pooler.known(url) is None


# ---------------------------------------------------------------- the application's own URL


@pytest.fixture
def application(postgres: Cluster, database: str) -> Iterator[str]:
    """The URL of a second role in the database of the owner, without rights."""
    other = postgres.create_database()
    password = other.url.split(":")[2].split("@")[0]
    name = database.rsplit("/", 1)[1]
    yield postgres.url(other.owner, password, name)
    execute(postgres.superuser_url(name), f"DROP OWNED BY {other.owner}")
    postgres.drop_database(other)


def of_application(database: str, url: str) -> list[Finding]:
    user = pooler.place(url)[2]
    _, found = capabilities.look(database, Use(application=10, application_user=user, application_url=url))
    return [finding for finding in found if "application" in finding.message]


def test_application_may_go_through_a_pooler_in_transaction_mode(database: str, application: str) -> None:
    with pgbouncer(application, "transaction") as url:
        [told] = of_application(database, url.replace("postgresql:", "postgresql+psycopg:") + "?pgbouncer=true")
    assert told.severity == "info"
    assert told.message.startswith("the application goes through a pooler in transaction mode: its prepared statements")
    assert of_application(database, application) == []


def test_application_that_could_not_log_in(database: str, application: str) -> None:
    [told] = of_application(database, application.replace("@", "x@"))
    assert told.severity == "error"
    assert "the application could not log in" in told.message
    assert "Check cutover_application_url" in told.message


def test_application_in_another_database(postgres: Cluster, database: str, application: str) -> None:
    [told] = of_application(database, application.rsplit("/", 1)[0] + "/postgres")
    assert "cutover_application_url leads to another database than cutover_target_url" in told.message


@pytest.mark.parametrize(
    ("right", "why"),
    [
        ("SUPERUSER", "is a superuser"),
        ("GRANT {owner} TO {user}", "has the owner's rights"),
        ("GRANT pg_write_all_data TO {user}", "is in pg_write_all_data"),
    ],
)
def test_application_whose_writes_nobody_could_stop(
    postgres: Cluster, database: str, application: str, right: str, why: str
) -> None:
    user, owner = pooler.place(application)[2], pooler.place(database)[2]
    statement = right.format(owner=owner, user=user) if "GRANT" in right else f"ALTER ROLE {user} {right}"
    execute(postgres.superuser_url(), statement)
    assert fetch(postgres.superuser_url(), "SELECT 1 FROM pg_roles WHERE rolname = %s", user) == [(1,)]
    [told] = of_application(database, application)
    assert told.severity == "error"
    assert f"role {user} of cutover_application_url {why}" in told.message


def test_application_that_is_the_owner(database: str) -> None:
    [told] = of_application(database, database)
    assert "is the one of cutover_target_url" in told.message
