# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles' filters: database URLs and SCRAM verifiers."""

from __future__ import annotations

from typing import Any

import psycopg2
import psycopg2.extensions
import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

from support.postgres import Cluster
from support.project import load

URL = load("filter_plugins/database_url.py")
SCRAM = load("filter_plugins/scram.py")

# What libpq can carry in a URL: everything but NUL and lone surrogates.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)
UGLY = ["@ : / % '", "a+b&c=d?#", 'quo"te\\', "ünïcødé 漢字", "%40", " ", "$(x)`y`"]


def parts(password: str, user: str = "me", database: str = "app") -> dict[str, Any]:
    """What a URL is made from."""
    return {"host": "db.example", "port": 5433, "database": database, "user": user, "password": password}


@given(password=TEXT, user=TEXT, database=TEXT)
def test_url_survives_there_and_back(password: str, user: str, database: str) -> None:
    whole = parts(password, user, database)
    found = URL.database_url_parse(URL.database_url_build(whole))
    assert {name: found[name] for name in whole} == whole


@pytest.mark.parametrize("password", UGLY)
def test_url_means_the_same_to_libpq(password: str) -> None:
    url = URL.database_url_build(parts(password), {"sslmode": "require", "application_name": "a b"})
    found = psycopg2.extensions.parse_dsn(url)
    assert found == {
        "user": "me",
        "password": password,
        "host": "db.example",
        "port": "5433",
        "dbname": "app",
        "sslmode": "require",
        "application_name": "a b",
    }


@pytest.mark.parametrize("password", UGLY)
def test_url_is_safe_in_an_environment_file(password: str) -> None:
    url = URL.database_url_build(parts(password))
    assert not set(url) & set(" '\"\\$`&;#<>|()")


def test_url_of_a_socket_and_of_ipv6() -> None:
    socket = URL.database_url_build({**parts("x"), "host": "/run/postgresql"})
    assert psycopg2.extensions.parse_dsn(socket)["host"] == "/run/postgresql"
    assert URL.database_url_parse(socket)["host"] == "/run/postgresql"
    six = URL.database_url_build({**parts("x"), "host": "::1"})
    assert "@[::1]:5433/" in six
    assert URL.database_url_parse(six)["host"] == "::1"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://me:hidden@h/db", "must look like"),
        ("hidden", "must look like"),
        ("postgresql://me:hid/den@h/db", "percent-encoded"),
        ("postgresql://me:hidden@h/", "no database"),
        ("postgresql://:hidden@h/db", "no user"),
        ("postgresql://me:hidden@/db", "no host"),
        ("postgresql://me:hidden@h1:1,h2:2/db", "percent-encoded"),
        ("postgresql://me:hidden@h1,h2/db", "several hosts"),
    ],
)
def test_url_that_is_refused_is_not_shown(url: str, reason: str) -> None:
    with pytest.raises(AnsibleFilterError, match=reason) as caught:
        URL.database_url_parse(url)
    assert "hid" not in str(caught.value)


def test_scheme_of_a_driver_is_kept() -> None:
    url = URL.database_url_build(parts("x"), scheme="postgresql+psycopg")
    assert url.startswith("postgresql+psycopg://me:x@")
    assert URL.database_url_parse(url)["scheme"] == "postgresql+psycopg"


@given(password=TEXT)
def test_verifier_is_kept_while_it_fits(password: str) -> None:
    first = SCRAM.scram_verifier(password)
    assert SCRAM.scram_verifier(password, first) == first
    assert SCRAM.scram_verifier(password) != first, "a new one has a salt of its own"
    assert SCRAM.scram_verifier(password + "x", first) != first


@pytest.mark.parametrize("current", ["", None, "md5" + "0" * 32, "SCRAM-SHA-256$garbage"])
def test_verifier_replaces_anything_else(current: str | None) -> None:
    assert SCRAM.VERIFIER.match(SCRAM.scram_verifier("secret", current))


# The last ones are what SASLprep changes or refuses: a ligature, a soft hyphen, a wide space, a control
# character, an unassigned code point, and right-to-left beside left-to-right.
@pytest.mark.parametrize(
    "password",
    ["plain", *UGLY, "ﬁle", "so\u00adft", "a\u3000b", "bell\u0007", "\u0378", "\u05d0a", "I\u00adX"],
)
def test_verifier_is_the_one_that_postgresql_derives(postgres: Cluster, database: str, password: str) -> None:
    """Let libpq derive one, with its own salt, and find that it fits."""
    connection = psycopg2.connect(database)
    try:
        theirs = psycopg2.extensions.encrypt_password(password, "me", scope=connection, algorithm="scram-sha-256")
    finally:
        connection.close()
    assert SCRAM.scram_verifier(password, theirs) == theirs
