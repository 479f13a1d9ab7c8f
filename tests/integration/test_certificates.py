# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate of PostgreSQL that must not be trusted: the engine says why, where, and what to do."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from cutover.errors import TargetError
from cutover.target.connect import connect
from support.certificates import Authority
from support.postgres import Cluster, become_postgres


class Secured:
    """A cluster with TLS whose certificate can be changed while it runs."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.authority = Authority(folder / "ours")
        self.other = Authority(folder / "other")
        self.present(self.authority, 1)
        for statement in ("ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"):
            self._run(statement)
        self.wait()

    def _run(self, statement: str) -> None:
        with closing(psycopg2.connect(self.cluster.superuser_url())) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)

    def present(self, authority: Authority, days: int) -> None:
        """From now on the server presents a certificate of this authority, which ends in so many days."""
        paths = authority.sign(f"server{days}", server=True, days=days)
        runs_as = become_postgres()
        for source, name in zip(paths, ("server.crt", "server.key")):
            aim = self.cluster.data / name
            shutil.copy(source, aim)
            aim.chmod(0o600)
            if runs_as:
                os.chown(aim, runs_as["user"], runs_as["group"])
        self._run("SELECT pg_reload_conf()")

    def wait(self) -> None:
        """Until the server has TLS."""
        deadline = time.monotonic() + 20
        while True:
            try:
                psycopg2.connect(self.cluster.superuser_url() + "?sslmode=require").close()
                return
            except psycopg2.OperationalError:
                assert time.monotonic() < deadline
                time.sleep(0.1)

    def url(self, authority: Authority | None = None, host: str = "127.0.0.1") -> str:
        """A URL that proves the server."""
        root = (authority or self.authority).path
        address = self.cluster.superuser_url().replace("127.0.0.1", host)
        return f"{address}?sslmode=verify-full&sslrootcert={root}"

    def refusal(self, url: str, word: str) -> str:
        """The message of a connection that is refused, once the server has read its files."""
        deadline = time.monotonic() + 20
        while True:
            try:
                connect(url).close()
                told = "nothing was refused"
            except TargetError as error:
                told = error.message
            if word in told or time.monotonic() > deadline:
                return told
            time.sleep(0.1)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A cluster of its own: the others have no TLS."""
    cluster = Cluster.start()
    try:
        yield Secured(cluster, tmp_path_factory.mktemp("authorities"))
    finally:
        cluster.stop()


def test_a_certificate_that_is_proved_is_taken(secured: Secured) -> None:
    secured.present(secured.authority, 2)
    with closing(connect(secured.url())) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert cursor.fetchone() == (True,)


def test_an_expired_certificate_is_refused_with_the_way_to_renew_it(secured: Secured) -> None:
    secured.present(secured.authority, -1)
    told = secured.refusal(secured.url(), "expired")
    assert f"on port {secured.cluster.port} is refused: it has expired (proved with {secured.authority.path})" in told
    assert "playbooks/certificates.yml renews" in told
    assert secured.cluster.password not in told
    secured.present(secured.authority, 2)
    assert secured.refusal(secured.url(), "nothing was refused") == "nothing was refused", "a reload is enough"


def test_a_certificate_of_another_authority_is_refused(secured: Secured) -> None:
    secured.present(secured.authority, 2)
    told = secured.refusal(secured.url(secured.other), "another authority")
    assert f"another authority has signed it (proved with {secured.other.path})" in told


def test_a_certificate_for_another_name_is_refused(secured: Secured) -> None:
    """It is made for 127.0.0.1; the server listens on no other name."""
    secured.present(secured.authority, 2)
    told = secured.refusal(secured.url(host="localhost"), "other names")
    assert "made for other names" in told
    assert "postgresql_tls_names" in told


def test_a_missing_file_of_authorities_is_named(secured: Secured, tmp_path: Path) -> None:
    url = secured.url().replace(str(secured.authority.path), str(tmp_path / "none.crt"))
    told = secured.refusal(url, "none.crt")
    assert "root certificate file" in told
    assert "playbooks/certificates.yml" in told
