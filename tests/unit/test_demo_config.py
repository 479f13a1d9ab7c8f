# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo application's env file and its engine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "demo"))

from app.config import SettingsError, load_settings, parse_env
from app.database import open_engine


def test_env_lines_as_systemd_and_compose_write_them() -> None:
    text = "\n# comment\nexport A=1\nB = 'two words'\nC=\"x=y#z\"\nD=\nE=p%40ss$word'\n"
    assert parse_env(text) == {"A": "1", "B": "two words", "C": "x=y#z", "D": "", "E": "p%40ss$word'"}


@pytest.mark.parametrize("line", ["no separator", "=value", "1A=x", "A B=c"])
def test_a_line_that_is_no_setting_is_named_by_number_without_its_content(line: str) -> None:
    with pytest.raises(SettingsError, match=r"^f: line 2 is not KEY=value$"):
        parse_env(f"A=1\n{line}\n", "f")


def test_the_file_that_the_environment_names_is_the_only_authority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file = tmp_path / "app.env"
    env_file.write_text("DATABASE_URL=sqlite:////from/the/file\n", encoding="utf-8")
    monkeypatch.setenv("DEMO_ENV_FILE", str(env_file))
    monkeypatch.setenv("DATABASE_URL", "postgresql://left-over/from-before")
    settings = load_settings()
    assert settings.database_url == "sqlite:////from/the/file"
    assert settings.env_file == env_file


def test_the_url_is_not_in_the_representation(tmp_path: Path) -> None:
    env_file = tmp_path / "app.env"
    env_file.write_text("DATABASE_URL=postgresql://u:s3cret@h/d\n", encoding="utf-8")
    assert "s3cret" not in repr(load_settings(env_file))


@pytest.mark.parametrize("content", ["", "OTHER=1\n", "DATABASE_URL=\n"])
def test_a_missing_url_is_said(tmp_path: Path, content: str) -> None:
    env_file = tmp_path / "app.env"
    env_file.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError, match="DATABASE_URL is missing or empty"):
        load_settings(env_file)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read the env file: No such file"):
        load_settings(tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="not UTF-8"):
        load_settings(tmp_path / "binary")


@pytest.mark.parametrize("url", ["postgresql://u:p@h/d", "postgres://u:p@h/d", "postgresql+psycopg2://u:p@h/d"])
def test_every_postgresql_url_means_psycopg2(url: str) -> None:
    engine = open_engine(url)
    assert engine.dialect.name == "postgresql"
    assert engine.driver == "psycopg2"


@pytest.mark.parametrize("url", ["postgresql://u:s3cret@h:port/d", "s3cret", "mysql://u:s3cret@h/d"])
def test_a_bad_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match="DATABASE_URL is") as caught:
        open_engine(url)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_wrong_path_makes_no_empty_database(tmp_path: Path) -> None:
    from sqlalchemy.exc import OperationalError

    with pytest.raises(OperationalError):
        open_engine(f"sqlite:///{tmp_path}/none.sqlite").connect()
    assert list(tmp_path.iterdir()) == []


def test_a_path_with_characters_that_mean_something_in_a_uri(tmp_path: Path) -> None:
    path = tmp_path / "50% #1?.sqlite"
    path.touch()
    url = f"sqlite:///{tmp_path}/50%25 %231%3F.sqlite"
    with open_engine(url.replace("%231", "#1").replace("%3F", "%3f").replace("%25", "%")).connect():
        pass
