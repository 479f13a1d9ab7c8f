# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings from an env file: KEY=value lines, as systemd and docker compose read them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_ENV_FILE = "/var/lib/pg-cutover-demo/app.env"


class SettingsError(Exception):
    """The env file cannot be used; the message says where and why, and never shows a value."""


@dataclass(frozen=True)
class Settings:
    """What the application is told from outside."""

    env_file: Path
    # A URL may hold a password: it stays out of repr, and so out of logs and tracebacks.
    database_url: str = field(repr=False)


def load_settings(path: str | os.PathLike[str] | None = None) -> Settings:
    """Read the env file at `path`, or the one that DEMO_ENV_FILE names.

    The file is the only authority. A DATABASE_URL left over in the process's environment is not looked at:
    after a cutover it would name the wrong database.
    """
    env_file = Path(path or os.environ.get("DEMO_ENV_FILE") or DEFAULT_ENV_FILE)
    try:
        text = env_file.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{env_file}: cannot read the env file: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{env_file}: not UTF-8 text") from error
    url = parse_env(text, str(env_file)).get("DATABASE_URL", "")
    if not url:
        raise SettingsError(f"{env_file}: DATABASE_URL is missing or empty")
    return Settings(env_file=env_file, database_url=url)


def parse_env(text: str, name: str = "env file") -> dict[str, str]:
    """Parse KEY=value lines. Blank lines, comments, `export` and matching quotes are allowed.

    Nothing is expanded: a `$` or `%` in a password stays what it is.
    """
    values: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        key, separator, value = line.partition("=")
        key = key.removeprefix("export ").strip()
        if not separator or not key.isidentifier():
            raise SettingsError(f"{name}: line {number} is not KEY=value")
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        values[key] = value
    return values
