# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles provider, postgresql, database, pgbouncer and haproxy set up."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import time
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from support.project import load
from support.roles_stack import STACK, admin, ansible, as_app, changed, changes, connect, role, secret

FOREIGN, FOREIGN_PORT = "pgcutover_foreign", 25433
# An application may have such a password; every part of the way must take it.
UGLY = "p@s:s/w%r'd ünï"

pytestmark = pytest.mark.slow

# ---------------------------------------------------------------- provisioning


def test_second_run_changes_nothing(stack: str) -> None:
    output = ansible("up.yml")
    assert changed(output) == 0, changes(output)


def test_check_mode_foresees_nothing(stack: str) -> None:
    output = ansible("up.yml", "--check", "--diff")
    assert changed(output) == 0, changes(output)


def test_generated_passwords_are_private(stack: str) -> None:
    """That none of them is in any output, every run of a playbook checks."""
    for file in (STACK / "secrets").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((STACK / "secrets").stat().st_mode) == 0o700


def test_cluster_is_made_as_promised(stack: str) -> None:
    settings = dict(admin("SELECT name, setting FROM pg_settings"))
    assert settings["data_directory"] == str(STACK / "postgresql")
    assert settings["data_checksums"] == "on"
    assert settings["password_encryption"] == "scram-sha-256"
    assert "pg_stat_statements" in settings["shared_preload_libraries"]
    assert settings["fsync"] == settings["full_page_writes"] == settings["synchronous_commit"] == "on"
    assert settings["listen_addresses"] == "127.0.0.1"
    assert admin("SELECT pg_encoding_to_char(encoding), datcollate FROM pg_database WHERE datname = 'roles_test'") == [
        ("UTF8", "C.UTF-8")
    ]
    assert not admin("SELECT name FROM pg_settings WHERE pending_restart")
    assert admin("SELECT count(*) FROM extensions.pg_stat_statements")
    # Nobody but root and postgres over the socket gets in without a password.
    methods = admin("SELECT DISTINCT type, user_name, auth_method FROM pg_hba_file_rules ORDER BY 1, 2, 3")
    assert methods == [
        ("host", ["all"], "scram-sha-256"),
        ("local", ["all"], "scram-sha-256"),
        ("local", ["postgres"], "peer"),
    ]


def test_daemons_keep_their_files_to_themselves(stack: str) -> None:
    assert stat.S_IMODE((STACK / "pgbouncer/userlist.txt").stat().st_mode) == 0o600
    assert stat.S_IMODE((STACK / "run/haproxy/admin.sock").stat().st_mode) == 0o600
    users = (STACK / "pgbouncer/userlist.txt").read_text()
    assert "roles_test" not in users, "no application role stands in the file"


# ---------------------------------------------------------------- roles and rights


def test_app_role_logs_in_through_pgbouncer_with_scram(stack: str) -> None:
    with closing(as_app()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_user, current_setting('statement_timeout'), current_setting('lock_timeout')")
        assert cursor.fetchone() == ("roles_test_app", "1min", "10s")
    stored = admin("SELECT DISTINCT left(rolpassword, 14) FROM pg_authid WHERE rolpassword IS NOT NULL")
    assert stored == [("SCRAM-SHA-256$",)]
    for port in (26432, 25432):
        with pytest.raises(psycopg2.OperationalError, match="authentication failed"):
            connect("roles_test_app", "wrong", port)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE t (a int)",
        "CREATE TEMPORARY TABLE t (a int)",
        "CREATE SCHEMA s",
        "CREATE DATABASE d",
        "CREATE ROLE r",
        "DROP SCHEMA public CASCADE",
        "ALTER ROLE roles_test_app SUPERUSER",
        "SET ROLE roles_test_owner",
        "SELECT * FROM pgbouncer.get_auth('roles_test_owner')",
        "SELECT rolpassword FROM pg_authid",
    ],
)
def test_app_role_may_not(stack: str, statement: str) -> None:
    with closing(as_app()) as connection:
        # CREATE DATABASE fails in a transaction for another reason.
        connection.autocommit = True
        with connection.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(statement)


def test_public_has_no_rights(stack: str) -> None:
    admin("CREATE ROLE roles_test_stranger LOGIN PASSWORD 'known'")
    try:
        with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
            connect("roles_test_stranger", "known", 25432)
        assert admin("SELECT has_schema_privilege('roles_test_stranger', 'public', 'USAGE')") == [(False,)]
        assert admin("SELECT has_function_privilege('roles_test_stranger', 'pgbouncer.get_auth(text)', 'EXECUTE')") == [
            (False,)
        ]
    finally:
        admin("DROP ROLE roles_test_stranger")


def test_look_up_function_finds_no_superuser(stack: str) -> None:
    found = []
    with closing(connect("pgbouncer_auth", secret("pgbouncer_auth_password"), 25432)) as connection:
        for name in ("roles_test_app", "postgres"):
            with connection.cursor() as cursor:
                cursor.execute("SELECT username FROM pgbouncer.get_auth(%s)", [name])
                found.append(cursor.fetchall())
    assert found == [[("roles_test_app",)], []]


# ---------------------------------------------------------------- bulk settings


def bulk() -> dict[str, tuple[str, bool]]:
    """The settings of a bulk load: value, and whether ALTER SYSTEM has set it."""
    return {
        name: (value, own)
        for name, value, own in admin(
            "SELECT name, setting, coalesce(sourcefile LIKE '%%/postgresql.auto.conf', false)"
            " FROM pg_settings"
            " WHERE name IN ('max_wal_size', 'checkpoint_timeout', 'maintenance_work_mem',"
            " 'max_parallel_maintenance_workers')"
        )
    }


def test_bulk_settings_go_back_to_exactly_what_was(stack: str) -> None:
    assert changed(role("postgresql", "bulk_off")) == 0, "off before on changes nothing"
    admin("ALTER SYSTEM SET max_wal_size = '300MB'")
    admin("SELECT pg_reload_conf()")
    time.sleep(0.5)
    before = bulk()
    assert before["max_wal_size"] == ("300", True)
    assert before["checkpoint_timeout"] == ("300", False)

    assert changed(role("postgresql", "bulk_on", check=True)) > 0
    assert bulk() == before
    role("postgresql", "bulk_on")
    during = bulk()
    assert during["max_wal_size"][0] == "4096"
    assert during["checkpoint_timeout"][0] == "1800"
    assert all(own for _, own in during.values())
    assert changed(role("postgresql", "bulk_on")) == 0

    needs_restart = {"postgresql_bulk_settings": {"shared_buffers": "1GB"}}
    output = role("postgresql", "bulk_on", fails=True, **needs_restart)
    assert "a reload cannot change: shared_buffers" in " ".join(output.split())

    # As if the way back had been killed in the middle.
    admin("ALTER SYSTEM RESET checkpoint_timeout")
    role("postgresql", "bulk_off")
    time.sleep(0.5)
    assert bulk() == before
    assert changed(role("postgresql", "bulk_off")) == 0
    admin("ALTER SYSTEM RESET max_wal_size")
    admin("SELECT pg_reload_conf()")


# ---------------------------------------------------------------- what is not ours stays as it is


def test_a_foreign_cluster_is_left_alone(stack: str) -> None:
    version = admin("SHOW server_version_num")[0][0][:2]
    subprocess.run(
        ["pg_createcluster", version, FOREIGN, "--port", str(FOREIGN_PORT), "-d", str(STACK / "foreign")],
        check=True,
        capture_output=True,
        timeout=60,
    )
    try:
        hba = Path(f"/etc/postgresql/{version}/{FOREIGN}/pg_hba.conf")
        text = hba.read_bytes()
        names = {
            "postgresql_cluster_name": FOREIGN,
            "postgresql_port": FOREIGN_PORT,
            "postgresql_data_directory": "",
        }
        output = role("postgresql", "main", fails=True, **names)
        assert "that this role did not create" in output
        assert "postgresql_adopt_cluster: true" in output
        output = role("postgresql", "remove", fails=True, **names)
        assert "was not created by this role" in output
        output = role("postgresql", "main", fails=True, postgresql_port=FOREIGN_PORT)
        assert f"Port {FOREIGN_PORT} belongs to the cluster" in output
        assert hba.read_bytes() == text
        status = subprocess.run(["pg_ctlcluster", version, FOREIGN, "status"], check=False, capture_output=True)
        assert status.returncode == 3, "it was not running and still is not"
    finally:
        subprocess.run(["pg_dropcluster", version, FOREIGN], check=True, capture_output=True, timeout=60)


def test_a_creation_that_was_killed_is_made_again(stack: str) -> None:
    version = admin("SHOW server_version_num")[0][0][:2]
    name, data = "pgcutover_half", STACK / "half"
    variables = {
        "postgresql_cluster_name": name,
        "postgresql_port": FOREIGN_PORT,
        "postgresql_data_directory": str(data),
        "postgresql_memory_mb": 512,
    }
    note = STACK / "state" / f"{version}-{name}.owned"
    try:
        data.mkdir()
        (data / "PG_VERSION").write_text(f"{version}\n")
        output = role("postgresql", "main", fails=True, **variables)
        assert "is not empty and belongs to no cluster" in output
        # What was being made was elsewhere: this directory is somebody's still.
        note.write_text(f"creating {STACK / 'elsewhere'}\n")
        assert "is not empty and belongs to no cluster" in role("postgresql", "main", fails=True, **variables)
        assert (data / "PG_VERSION").exists()
        note.write_text(f"creating {data}\n")
        role("postgresql", "main", **variables)
        assert note.read_text() == "created\n"
        assert (data / "postmaster.pid").exists()
    finally:
        role("postgresql", "remove", **variables)
        assert not data.exists()
        assert not note.exists()


def test_a_configuration_whose_data_are_gone_is_told(stack: str) -> None:
    """As after a disk of data that was not mounted: pg_lsclusters then fails for every cluster of the host."""
    version = admin("SHOW server_version_num")[0][0][:2]
    left = Path(f"/etc/postgresql/{version}/pgcutover_gone")
    left.mkdir(parents=True)
    try:
        (left / "postgresql.conf").write_text("data_directory = '/nowhere-pgcutover'\n")
        said = " ".join(role("postgresql", "main", fails=True).split())
        assert "pg_lsclusters fails on stack: Error: /nowhere-pgcutover is not accessible" in said
        assert "are gone, or not mounted. Mount them, or move that configuration away. Nothing was changed." in said
        assert [path.name for path in left.iterdir()] == ["postgresql.conf"]
    finally:
        shutil.rmtree(left)


def test_a_setting_that_pgbouncer_does_not_take_is_told_before_anything_changes(stack: str) -> None:
    """PgBouncer itself goes on with what was at a reload, and does not start again."""
    written = (STACK / "pgbouncer/pgbouncer.ini").read_bytes()
    for settings, told in (
        ({"query_timeout": "5 s"}, 'invalid value "5 s" for parameter query_timeout'),
        ({"query_timout": 5}, "unknown parameter: pgbouncer/query_timout"),
    ):
        for check in (True, False):
            output = role("pgbouncer", "main", check=check, fails=True, pgbouncer_settings=settings)
            assert told in " ".join(output.split()).replace('\\"', '"')
    assert (STACK / "pgbouncer/pgbouncer.ini").read_bytes() == written
    try:
        assert changed(role("pgbouncer", "main", pgbouncer_settings={"query_timeout": 55}))
        password = secret("pgbouncer_admin_password")
        with closing(connect("pgbouncer_admin", password, database="pgbouncer")) as console:
            console.autocommit = True
            with console.cursor() as cursor:
                cursor.execute("SHOW CONFIG")
                assert {row[0]: row[1] for row in cursor.fetchall()}["query_timeout"] == "55"
    finally:
        role("pgbouncer", "main")
    assert (STACK / "pgbouncer/pgbouncer.ini").read_bytes() == written


def test_a_restart_does_not_cut_off_who_is_connected(stack: str) -> None:
    started = admin("SELECT pg_postmaster_start_time()")
    with closing(as_app(25432)) as connection, connection.cursor() as cursor:
        output = role("postgresql", "main", fails=True, postgresql_settings={"max_worker_processes": "9"})
        said = " ".join(output.split())
        assert "has to be restarted for max_worker_processes, and clients are connected: " in said
        assert re.search(r"clients are connected: .*roles_test_app \d+\. It was not restarted", said), said[-2000:]
        cursor.execute("SELECT 1")
        # What was asked for is taken back, and waits for nothing then.
        role("postgresql", "main")
        cursor.execute("SELECT 1")
    assert admin("SELECT pg_postmaster_start_time()") == started
    assert admin("SELECT count(*) FROM pg_settings WHERE pending_restart") == [(0,)]


def test_a_rule_that_the_server_cannot_read_is_told_and_taken_back(stack: str) -> None:
    (path,) = admin("SHOW hba_file")[0]
    before = Path(path).read_bytes()
    output = " ".join(
        role("postgresql", "main", fails=True, postgresql_hba_entries=["host all all 300.0.0.0/8 trust"]).split()
    )
    assert re.search(r"cannot read pg_hba\.conf, line \d+: .*300\.0\.0\.0/8", output), output[-3000:]
    assert Path(path).read_bytes() == before
    assert not admin("SELECT error FROM pg_hba_file_rules WHERE error IS NOT NULL")


def test_an_external_database_gets_an_application_role(stack: str) -> None:
    """The given URL is the owner's, who is no superuser and has a password that needs encoding."""
    url = load("filter_plugins/database_url.py").database_url_build(
        {"host": "127.0.0.1", "port": 25432, "user": "boss @ work", "password": UGLY, "database": "elsewhere"}
    )
    admin('CREATE ROLE "boss @ work" LOGIN CREATEROLE PASSWORD %s', UGLY)
    admin('CREATE DATABASE elsewhere OWNER "boss @ work"')
    variables = {"cutover_provider": "external", "cutover_target_url": url, "cutover_name": "outside"}
    try:
        output = role("database", "main", **variables)
        assert changed(output) > 0
        assert UGLY not in output
        assert url not in output
        again = role("database", "main", **variables)
        assert changed(again) == 0, changes(again)
        with (
            closing(connect("outside_app", secret("app_password"), 25432, database="elsewhere")) as connection,
            connection.cursor() as cursor,
            pytest.raises(psycopg2.errors.InsufficientPrivilege),
        ):
            cursor.execute("CREATE TABLE t (a int)")

        output = role("database", "main", fails=True, **{**variables, "cutover_target_url": "postgresql://u:a/b@h/d"})
        assert "cutover_target_url cannot be used" in output
        assert "a/b" not in output
    finally:
        admin("DROP DATABASE elsewhere")
        admin("DROP ROLE IF EXISTS outside_app")
        admin('DROP ROLE "boss @ work"')
