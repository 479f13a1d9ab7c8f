# SPDX-License-Identifier: GPL-3.0-or-later
"""rotate.yml while two instances write all the time, killed at each step, and what it shows of the passwords."""

from __future__ import annotations

import re
import stat
import time
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from support.leaks import Processes, files_showing, forms
from support.rotate_stack import (
    POOLERS,
    SECRETS,
    STACK,
    admin,
    ansible,
    failures,
    forget_failures,
    kept,
    login,
    right,
    session,
    stop_pgbouncer,
    users,
    written,
)

pytestmark = pytest.mark.long

ROTATE = "playbooks/rotate.yml"


def test_all_passwords_are_rotated_and_no_request_fails(stack: None, tmp_path: Path) -> None:
    before, rows = kept(), written()
    with Processes() as processes:
        said = ansible(ROTATE, "-e", "cutover_rotate=all", "-e", f"cutover_report_dir={tmp_path / 'reports'}")
    right(before, SECRETS)
    assert failures() == ""
    assert written() > rows
    # What they made while the second login stood in is the role's own.
    assert admin("SELECT DISTINCT who FROM written") == [("rotate_test_app",)]
    assert "Rotated: " in said

    secrets = [*before.values(), *kept().values()]
    assert [form for one in secrets for form in forms(one) if form.decode() in said] == []
    assert "SCRAM-SHA-256$" not in said
    assert processes.showing(secrets) == []
    assert list(files_showing(STACK / "state-of-migration", secrets)) == []
    assert list(files_showing(tmp_path, secrets)) == []
    wide = [path for path in files_showing(STACK, secrets) if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert wide == []
    assert not re.search(
        r"password", (STACK / "log/pgbouncer/pgbouncer.log").read_text().replace("password_", ""), re.I
    )


def test_without_a_name_nothing_is_rotated(stack: None) -> None:
    before = kept()
    said = ansible(ROTATE)
    assert "Nothing is rotated" in said
    assert "changed=0" in said
    assert not re.search(r"changed=[1-9]", said)
    said = ansible(ROTATE, "--check", "-e", "cutover_rotate=app")
    assert "Would be rotated: app_password" in said
    assert kept() == before
    said = ansible(ROTATE, "-e", "cutover_rotate=app,superuser", fails=True)
    assert "cutover_rotate names superuser; here it can name" in " ".join(said.split())
    assert kept() == before


# At whose beginning the run is killed, one after the other: each run goes on where the one before it was ended.
STEPS = [
    "TASK [rotation : Make a second login for the application]",
    "PLAY [Rotate 5",
    "TASK [application : Restart the instance]",
    "TASK [rotation : Set the passwords]",
    "TASK [rotation : End the sessions that were opened before by rotate_test_app]",
    "PLAY [Rotate 8",
    "PLAY [Rotate 10",
    "TASK [rotation : Drop the second logins]",
    # Ansible names the role of an include_role nowhere.
    "TASK [Forget the passwords that were]",
]


def test_killed_at_each_step_the_next_run_goes_on(stack: None) -> None:
    before = kept()
    coming: dict[str, str] = {}
    leaked = session("rotate_test_app", before["app_password"])
    for step in STEPS:
        # Named the first time only: after that a rotation is under way.
        ansible(ROTATE, *(() if coming else ("-e", "cutover_rotate=app,pgbouncer")), kill_at=step)
        coming = coming or {name[:-5]: value for name, value in kept().items() if name.endswith(".next")}
        time.sleep(1)
        assert failures() == "", f"nobody is locked out while it lies there ({step})"
    ansible(ROTATE)
    right(before, ("app_password", *POOLERS))
    assert {name: kept()[name] for name in coming} == coming, "it is the rotation that was under way"
    with closing(leaked), pytest.raises(psycopg2.OperationalError), leaked.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert failures() == ""


def test_where_pgbouncer_has_a_file(stack: None) -> None:
    method = ("-e", "pgbouncer_auth_method=file")
    assert failures() == ""
    try:
        # PgBouncer 1.18 ends itself ("found existing elem") when a reload puts a user that it has looked up into its file.
        stop_pgbouncer()
        ansible("tests/e2e/rotate/up.yml", *method)
        forget_failures()
        admin("DROP OWNED BY pgbouncer_auth")
        admin("DROP ROLE pgbouncer_auth")
        before = kept()
        assert users() == ["rotate_test_app", "pgbouncer_admin", "pgbouncer_stats"]
        said = ansible(ROTATE, *method, "-e", "cutover_rotate=app", fails=True)
        assert "has the application's password in its file" in " ".join(said.split())
        assert kept() == before
        ansible(ROTATE, *method, "-e", "cutover_rotate=owner,pgbouncer")
        changed = {name for name in SECRETS if kept()[name] != before[name]}
        assert changed == {"owner_password", *POOLERS} - {"pgbouncer_auth_password"}
        assert sorted(kept()) == sorted(before), "nothing but the passwords is left"
        assert users() == ["rotate_test_app", "pgbouncer_admin", "pgbouncer_stats"], "it still has the file"
        assert login("rotate_test_app", kept()["app_password"])
        assert login("pgbouncer_admin", kept()["pgbouncer_admin_password"], database="pgbouncer")
        assert failures() == ""
    finally:
        stop_pgbouncer()
        ansible("tests/e2e/rotate/up.yml")
        forget_failures()
    assert users() == ["pgbouncer_auth", "pgbouncer_admin", "pgbouncer_stats"]
