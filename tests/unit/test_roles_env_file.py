# SPDX-License-Identifier: GPL-3.0-or-later
"""The module env_file: one variable changes, everything else stays, and the former line can come back."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from support.project import run_module

BEFORE = """# the application's settings
export DATABASE_URL="sqlite:////srv/app.sqlite?mode=rwc"   \nSECRET=a b c
OTHER_DATABASE_URL=untouched
"""
NEW = "postgresql://app:s3cr%40t@127.0.0.1:6432/app?sslmode=require"


@pytest.fixture
def env(tmp_path: Path) -> Path:
    """An environment file readable by others."""
    path = tmp_path / "app.env"
    path.write_text(BEFORE)
    path.chmod(0o644)
    return path


def run(env: Path, check: bool = False, **arguments: Any) -> dict[str, Any]:
    """Run the module."""
    return run_module("env_file", check, path=str(env), name="DATABASE_URL", **arguments)


def mode(path: Path) -> int:
    """Permissions."""
    return stat.S_IMODE(path.stat().st_mode)


def former(env: Path) -> Path:
    """Where the former line is kept."""
    return env.with_name("app.env.pg-cutover-before")


def test_switch_changes_one_line_and_nothing_else(env: Path) -> None:
    os.chown(env, 65534, 65534)
    answer = run(env, value=NEW)
    assert answer["changed"]
    lines = env.read_text().splitlines()
    assert lines[1] == f'export DATABASE_URL="{NEW}"'
    assert [line for n, line in enumerate(lines) if n != 1] == [
        line for n, line in enumerate(BEFORE.splitlines()) if n != 1
    ]
    assert mode(env) == mode(former(env)) == 0o600
    assert env.stat().st_uid == former(env).stat().st_uid == 65534
    backup = Path(answer["backup_file"])
    assert backup.read_text() == BEFORE
    assert mode(backup) == 0o600
    assert "s3cr" not in str(answer)
    assert answer["redacted"] == "postgresql://app:***@127.0.0.1:6432/app?sslmode=require"
    assert sorted(p.name for p in env.parent.iterdir()) == sorted(["app.env", former(env).name, backup.name]), (
        "no temporary file is left"
    )


def test_second_switch_changes_nothing(env: Path) -> None:
    run(env, value=NEW)
    times = env.stat().st_mtime_ns
    answer = run(env, value=NEW)
    assert not answer["changed"]
    assert answer["former_kept"]
    assert env.stat().st_mtime_ns == times


def test_restore_brings_the_exact_line_back(env: Path) -> None:
    run(env, value=NEW)
    answer = run(env, state="restored")
    assert answer["changed"]
    assert env.read_text() == BEFORE
    assert not former(env).exists()
    assert not run(env, state="restored")["changed"]


def test_a_later_switch_keeps_the_line_from_before_the_first(env: Path) -> None:
    run(env, value=NEW)
    run(env, value=NEW.replace("6432", "6433"))
    run(env, value=NEW.replace("6432", "6434"))
    run(env, state="restored")
    assert env.read_text() == BEFORE


def test_a_line_that_somebody_else_wrote_is_the_one_to_go_back_to(env: Path) -> None:
    run(env, value=NEW)
    moved = BEFORE.replace("/srv/app.sqlite", "/srv/moved.sqlite")
    env.write_text(moved)
    run(env, value=NEW)
    run(env, state="restored")
    assert env.read_text() == moved


def test_killed_between_keeping_and_writing(env: Path) -> None:
    run(env, value=NEW)
    # As if the process had died after it kept the former line and before it replaced the file.
    env.write_text(BEFORE)
    run(env, value=NEW)
    run(env, state="restored")
    assert env.read_text() == BEFORE


def test_killed_between_a_second_keeping_and_writing(env: Path) -> None:
    other = NEW.replace("6432", "6433")
    run(env, value=NEW)
    switched = env.read_text()
    run(env, value=other)
    env.write_text(switched)
    run(env, value=other)
    run(env, state="restored")
    assert env.read_text() == BEFORE


def test_a_variable_that_was_not_set_goes_again(env: Path) -> None:
    env.write_text("SECRET=x\n")
    run(env, value=NEW)
    assert env.read_text() == f"SECRET=x\nDATABASE_URL={NEW}\n"
    run(env, state="restored")
    assert env.read_text() == "SECRET=x\n"


def test_check_mode_changes_nothing(env: Path) -> None:
    answer = run(env, check=True, value=NEW)
    assert answer["changed"]
    assert "s3cr" not in str(answer)
    assert [p.name for p in env.parent.iterdir()] == ["app.env"]
    assert env.read_text() == BEFORE
    run(env, value=NEW)
    assert run(env, check=True, state="restored")["changed"]
    assert former(env).exists()


def test_forget_removes_the_way_back(env: Path) -> None:
    run(env, value=NEW)
    assert len(list(env.parent.glob("app.env.*~"))) == 1
    (env.parent / "app.env.notes~").write_text("not ours")
    assert run(env, state="forgotten")["changed"]
    assert sorted(p.name for p in env.parent.iterdir()) == ["app.env", "app.env.notes~"]
    assert not run(env, state="forgotten")["changed"]
    assert not run(env, state="restored")["changed"]
    assert NEW in env.read_text()


def test_link_stays_a_link(env: Path) -> None:
    link = env.with_name("link.env")
    link.symlink_to(env)
    run(link, value=NEW)
    assert link.is_symlink()
    assert NEW in env.read_text()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("postgresql://u:p@ss:w/rd@h/d", "postgresql://u:***@h/d"),
        (
            "postgresql://u@h/d?password=hush&sslmode=require",
            "postgresql://u@h/d?password=***&sslmode=require",
        ),
        ("sqlite:////srv/app.sqlite", "sqlite:////srv/app.sqlite"),
    ],
)
def test_read_shows_no_password(env: Path, value: str, shown: str) -> None:
    env.write_text(f"DATABASE_URL={value}\n")
    answer = run(env, state="read")
    assert answer["redacted"] == shown
    assert not answer["changed"]


@pytest.mark.parametrize(
    ("text", "value", "reason"),
    [
        ("DATABASE_URL=a\nDATABASE_URL=b\n", NEW, "sets DATABASE_URL 2 times, in lines 1, 2"),
        ("DATABASE_URL=a\n", "postgresql://u:p w@h/d", "Percent-encode"),
        ("DATABASE_URL=a\n", "postgresql://u:p'w@h/d", "Percent-encode"),
    ],
)
def test_refusals(env: Path, text: str, value: str, reason: str) -> None:
    env.write_text(text)
    answer = run(env, value=value)
    assert answer["failed"]
    assert reason in answer["msg"]
    assert env.read_text() == text


def test_missing_file_is_named(tmp_path: Path) -> None:
    answer = run(tmp_path / "none.env", value=NEW)
    assert answer["failed"]
    assert f"{tmp_path}/none.env does not exist" in answer["msg"]


# ---------------------------------------------------------------- a copy for a second instance


def test_a_copy_differs_in_what_was_asked_for_and_nothing_else(env: Path) -> None:
    os.chown(env, 65534, 65534)
    green = env.with_name("green.env")
    arguments: dict[str, Any] = {
        "copy_of": str(env),
        "name": "DATABASE_URL",
        "value": NEW,
        "also": {"PORT": 18082, "SECRET": "x"},
    }
    answer = run_module("env_file", False, path=str(green), **arguments)
    assert answer["changed"]
    assert "s3cr" not in str(answer)
    assert green.read_text() == (
        f'# the application\'s settings\nexport DATABASE_URL="{NEW}"\nSECRET=x\nOTHER_DATABASE_URL=untouched\nPORT=18082\n'
    )
    assert (mode(green), green.stat().st_uid) == (0o600, 65534)
    assert env.read_text() == BEFORE
    assert not former(env).exists()
    assert not run_module("env_file", False, path=str(green), **arguments)["changed"]
    assert sorted(path.name for path in env.parent.iterdir()) == ["app.env", "green.env"]


def test_a_copy_follows_its_origin_and_its_permissions_are_put_right(env: Path) -> None:
    green = env.with_name("green.env")
    arguments: dict[str, Any] = {"copy_of": str(env), "name": "DATABASE_URL", "value": NEW}
    assert run_module("env_file", True, path=str(green), **arguments)["changed"]
    assert not green.exists()
    run_module("env_file", False, path=str(green), **arguments)
    green.chmod(0o644)
    assert run_module("env_file", False, path=str(green), **arguments)["changed"]
    assert mode(green) == 0o600
    env.write_text(BEFORE + "NEW_SETTING=1\n")
    assert run_module("env_file", False, path=str(green), **arguments)["changed"]
    assert "NEW_SETTING=1\n" in green.read_text()


def test_a_copy_of_itself_or_with_a_value_that_is_read_differently_is_refused(env: Path) -> None:
    answer = run_module("env_file", False, path=str(env), copy_of=str(env), name="DATABASE_URL", value=NEW)
    assert "would be a copy of itself" in answer["msg"]
    arguments = {"copy_of": str(env), "name": "DATABASE_URL", "value": NEW, "also": {"TITLE": "two words"}}
    answer = run_module("env_file", False, path=str(env.with_name("green.env")), **arguments)
    assert "The value for TITLE holds a space" in answer["msg"]
    assert env.read_text() == BEFORE
