# SPDX-License-Identifier: GPL-3.0-or-later
"""Seen from inside the host: where PostgreSQL came from, and whom apt trusts for it."""

from __future__ import annotations

from typing import Any

testinfra_hosts = ["ansible://db1"]


def test_postgresql_is_the_sources_own(host: Any) -> None:
    assert host.package("postgresql-15").version == "15.99-1.pgdg12+1"
    assert "127.0.0.1:8091 bookworm-pgdg/main" in host.check_output("apt-cache policy postgresql-15")


def test_what_is_newer_than_known_is_not_taken(host: Any) -> None:
    assert "19.0-1.pgdg12+1" in host.check_output("apt-cache policy postgresql-19")
    assert not host.package("postgresql-19").is_installed
    assert host.check_output("pg_lsclusters --no-header").split()[:2] == ["15", "main"]


def test_the_key_is_trusted_for_that_source_alone(host: Any) -> None:
    source = host.file("/etc/apt/sources.list.d/pgdg.sources")
    assert "Signed-By: /srv/pgdg.asc" in source.content_string
    assert (source.user, source.mode) == ("root", 0o644)
    assert "pgdg" not in host.check_output("ls /etc/apt/trusted.gpg.d")
    # Nothing of the refused ones is left, and apt works.
    assert host.run("apt-get update").rc == 0


def test_the_package_brings_the_key_that_is_the_default(host: Any) -> None:
    assert host.file("/usr/share/postgresql-common/pgdg/apt.postgresql.org.asc").exists
