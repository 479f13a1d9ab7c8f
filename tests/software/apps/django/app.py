# SPDX-License-Identifier: GPL-3.0-or-later
"""A shop written with Django: `app.py create|fill|dump|work|later` on the database of DATABASE_URL; answers JSON."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.core.management import call_command


def database(url: str) -> dict[str, object]:
    """DATABASES['default'], as a Django project would have it for either database."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": parts.path}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path[1:],
        "USER": parts.username,
        "PASSWORD": parts.password,
        "HOST": parts.hostname,
        "PORT": parts.port,
    }


def main(command: str) -> object:
    """Run one command and return its answer."""
    settings.configure(
        BASE_DIR=Path(__file__).parent,
        DATABASES={"default": database(os.environ["DATABASE_URL"])},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[
            "django.contrib.admin",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.messages",
            "django.contrib.sessions",
            "shop",
        ],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        SECRET_KEY="tests only",
        TIME_ZONE="Europe/Helsinki",
        USE_TZ=True,
    )
    django.setup()
    if command == "create":
        call_command("migrate", "shop", "0002", verbosity=0)
        for application in ("admin", "auth", "contenttypes", "sessions"):
            call_command("migrate", application, verbosity=0)
        return "created"
    if command == "later":
        # What an application does with its next release: its migrations change tables by the names they gave them.
        call_command("migrate", verbosity=0)
        return "migrated"
    import shop.work

    return getattr(shop.work, command)()


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
