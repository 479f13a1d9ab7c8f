# SPDX-License-Identifier: GPL-3.0-or-later
"""Seen from inside the host: where PostgreSQL came from, and whom apt trusts for it."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="session")
def db1(on: Any) -> Any:
    """PostgreSQL's db1."""
    return on("db1")


def test_postgresql_is_the_sources_own(db1: Any) -> None:
    assert db1.package("postgresql-15").version == "15.99-1.pgdg12+1"
    assert "127.0.0.1:8091 bookworm-pgdg/main" in db1.check_output("apt-cache policy postgresql-15")


def test_pgbouncer_is_the_sources_own_as_well(db1: Any) -> None:
    assert db1.package("pgbouncer").version == "1.99.0-1.pgdg12+1"


def test_what_is_newer_than_known_is_not_taken(db1: Any) -> None:
    assert "19.0-1.pgdg12+1" in db1.check_output("apt-cache policy postgresql-19")
    assert not db1.package("postgresql-19").is_installed
    assert db1.check_output("pg_lsclusters --no-header").split()[:2] == ["15", "main"]


def test_the_key_is_trusted_for_that_source_alone(db1: Any) -> None:
    source = db1.file("/etc/apt/sources.list.d/pgdg.sources")
    assert "Signed-By: /srv/pgdg.asc" in source.content_string
    assert (source.user, source.mode) == ("root", 0o644)
    assert "pgdg" not in db1.check_output("ls /etc/apt/trusted.gpg.d")
    # Nothing of the refused ones is left, and apt works.
    assert db1.run("apt-get update").rc == 0


def test_the_package_brings_the_key_that_is_the_default(db1: Any) -> None:
    assert db1.file("/usr/share/postgresql-common/pgdg/apt.postgresql.org.asc").exists
