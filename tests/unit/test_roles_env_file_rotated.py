# SPDX-License-Identifier: GPL-3.0-or-later
"""The module env_file gives a URL another user and password, and nothing else."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from support.project import run_module

OLD = "postgresql+psycopg://shop_app:s3cr%40t@10.0.0.3:6432/shop?sslmode=require"
NEW = "p@ss: word/%'\"\\$ü"
ENCODED = "p%40ss%3A%20word%2F%25%27%22%5C%24%C3%BC"
SQLITE = "sqlite:////srv/shop.sqlite"


def run(path: Path, check: bool = False, user: str = "shop_app_rotating", **arguments: Any) -> dict[str, Any]:
    """Run the module."""
    users = ["shop_app", "shop_app_rotating"]
    asked = {"state": "rotated", "users": users, "user": user, "password": NEW, **arguments}
    answer = run_module("env_file", check, path=str(path), name="DATABASE_URL", **asked)
    assert "s3cr" not in str(answer)
    assert ENCODED not in str(answer)
    return answer


def test_user_and_password_change_and_all_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "app.env"
    path.write_text(f'# first\nexport DATABASE_URL="{OLD}"\nOTHER=1\n')
    assert run(path, check=True)["changed"]
    assert OLD in path.read_text()
    answer = run(path)
    assert (answer["changed"], answer["user"], answer["former_kept"]) == (True, "shop_app_rotating", False)
    url = f"postgresql+psycopg://shop_app_rotating:{ENCODED}@10.0.0.3:6432/shop?sslmode=require"
    assert path.read_text() == f'# first\nexport DATABASE_URL="{url}"\nOTHER=1\n'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["app.env"], "no copy holds the former password"
    assert not run(path)["changed"]
    assert run(path, user="shop_app")["changed"]
    assert url.replace("_rotating", "") in path.read_text()


@pytest.mark.parametrize(
    "value", [SQLITE, "postgresql://somebody:x@10.0.0.3/shop", "shop_app:x@h/shop", "", "file:./shop_app:x@y"]
)
def test_anything_else_is_left_alone(tmp_path: Path, value: str) -> None:
    path = tmp_path / "app.env"
    path.write_text(f"DATABASE_URL={value}\n")
    answer = run(path)
    assert not answer["changed"]
    assert "user" not in answer
    assert path.read_text() == f"DATABASE_URL={value}\n"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql+asyncpg", "postgis", "pgsql", "jdbc+x.y-z", "PostgreSQL"])
def test_the_scheme_may_be_any(tmp_path: Path, scheme: str) -> None:
    path = tmp_path / "app.env"
    path.write_text(f"DATABASE_URL={scheme}://shop_app:s3cr%40t@h/shop\n")
    answer = run(path)
    assert (answer["changed"], answer["user"]) == (True, "shop_app_rotating")
    assert path.read_text() == f"DATABASE_URL={scheme}://shop_app_rotating:{ENCODED}@h/shop\n"


def test_a_restore_still_goes_back_to_the_line_from_before_the_switch(tmp_path: Path) -> None:
    path = tmp_path / "app.env"
    path.write_text(f"DATABASE_URL={SQLITE}\n")
    run_module("env_file", path=str(path), name="DATABASE_URL", value=OLD, backup=False)
    run(path)
    run(path, user="shop_app")
    # Switched anew, as a run of the cutover does: what was rotated is no line to go back to.
    run_module("env_file", path=str(path), name="DATABASE_URL", value=OLD.replace("s3cr", "n3w"), backup=False)
    run_module("env_file", path=str(path), name="DATABASE_URL", state="restored", backup=False)
    assert path.read_text() == f"DATABASE_URL={SQLITE}\n"
