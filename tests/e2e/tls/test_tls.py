# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS on the way to PgBouncer and on the way to PostgreSQL: proved, renewed while clients work, refused when it must be."""

from __future__ import annotations

import datetime
import os
import signal
import socket
import ssl
import stat
import subprocess
import threading
import time
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from support.certificates import Authority
from support.project import ROOT
from support.roles_stack import changed, changes
from support.tls_stack import (
    APP,
    HERE,
    POOLER,
    SERVER,
    STACK,
    TRUST,
    admin,
    connect,
    console,
    playbook,
    pooler_pid,
    role,
    said,
)

SIDES = {"postgresql": SERVER, "pgbouncer": POOLER}

pytestmark = pytest.mark.long


def presented(port: int) -> x509.Certificate:
    """The certificate that a server shows."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        plain.sendall(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")
        assert plain.recv(1) == b"S"
        with context.wrap_socket(plain) as secured:
            shown = secured.getpeercert(binary_form=True)
    assert shown
    return x509.load_der_x509_certificate(shown)


def names(certificate: x509.Certificate) -> set[str]:
    """For whom it is made."""
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in found}


# ---------------------------------------------------------------- what is set up


def test_second_run_changes_nothing(stack: str) -> None:
    output = playbook(HERE / "up.yml")
    assert changed(output) == 0, changes(output)


def test_check_mode_foresees_nothing(stack: str) -> None:
    output = playbook(HERE / "up.yml", "--check")
    assert changed(output) == 0, changes(output)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_both_ways_are_encrypted_and_proved(stack: str, host: str) -> None:
    for port in SIDES.values():
        with closing(connect(port, host=host)) as connection, connection.cursor() as cursor:
            assert connection.info.ssl_in_use, "the way from the client"
            cursor.execute("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            assert cursor.fetchone() == (True, "TLSv1.3"), "the way to the server"
            cursor.execute("SELECT usename FROM pg_stat_activity WHERE pid = pg_backend_pid()")
            assert cursor.fetchone() == (APP,)


def test_no_connection_over_the_network_goes_without(stack: str) -> None:
    with closing(connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        open_ones = admin(
            "SELECT ssl, count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE client_addr IS NOT NULL GROUP BY 1"
        )
    assert [encrypted for encrypted, _ in open_ones] == [True]
    rules = admin("SELECT type, address FROM pg_hba_file_rules WHERE type LIKE 'host%' ORDER BY line_number")
    assert rules == [("host", "127.0.0.1"), ("host", "::1"), ("hostssl", "10.0.0.0")]
    assert not admin("SELECT error FROM pg_hba_file_rules WHERE error IS NOT NULL")
    with pytest.raises(psycopg2.OperationalError, match="SSL required"):
        connect(sslmode="disable")


def test_another_authority_is_refused_on_both_ways(stack: str, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other").path
    for port in SIDES.values():
        with pytest.raises(psycopg2.OperationalError, match="certificate verify failed"):
            connect(port, sslrootcert=str(other))


def test_pgbouncer_proves_the_server(stack: str, tmp_path: Path) -> None:
    """With another authority's certificate before it, PgBouncer gives the client an error and never logs in."""
    config = STACK / "pgbouncer" / "pgbouncer.ini"
    text = config.read_text()
    tmp_path.chmod(0o755)
    other = Authority(STACK / "other").path
    try:
        config.write_text(text.replace(str(TRUST), str(other)))
        with console("pgbouncer_admin") as cursor:
            cursor.execute("RELOAD")
            cursor.execute("RECONNECT")
        time.sleep(1)
        with pytest.raises(psycopg2.OperationalError):
            connect()
        assert "TLS handshake" in (STACK / "log" / "pgbouncer.log").read_text()
    finally:
        config.write_text(text)
        with console("pgbouncer_admin") as cursor:
            cursor.execute("RELOAD")
    deadline = time.monotonic() + 40
    while True:
        try:
            connect().close()
            break
        except psycopg2.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(1)


def test_keys_are_their_owners_alone(stack: str) -> None:
    private = [*(STACK / "secrets" / "tls").glob("*.key"), STACK / "pgbouncer" / "tls" / "server.key"]
    private.extend(Path("/etc/postgresql").glob("*/pgcutover_tls/tls/server.key"))
    assert len(private) == 5, private
    assert {stat.S_IMODE(file.stat().st_mode) for file in private} == {0o600}
    assert stat.S_IMODE((STACK / "secrets" / "tls").stat().st_mode) == 0o700
    assert stat.S_IMODE(TRUST.stat().st_mode) == 0o644
    assert "PRIVATE" not in TRUST.read_text()


def test_a_certificate_is_for_what_clients_use_and_a_new_name_gets_a_new_one(stack: str) -> None:
    for port in SIDES.values():
        assert names(presented(port)) == {"localhost", "stack", "127.0.0.1", "::1"}
    before = presented(SERVER).serial_number
    output = role("postgresql", "certificate", postgresql_tls_names=["db.internal", "10.1.2.3"])
    assert changed(output) > 0
    assert names(presented(SERVER)) >= {"db.internal", "10.1.2.3", "localhost"}
    assert presented(SERVER).serial_number != before


# ---------------------------------------------------------------- renewal


class Clients:
    """Clients that work all the time: some stay connected, some come and go. What they cannot do, they note."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.done = 0
        self.end = threading.Event()
        self.threads = [threading.Thread(target=self.work, args=(stay,)) for stay in (True, True, True, False, False)]

    def work(self, stay: bool) -> None:
        try:
            connection = connect()
            while not self.end.is_set():
                if not stay:
                    connection.close()
                    connection = connect()
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_backend_pid()")
                    first = cursor.fetchone()
                    time.sleep(0.1)
                    cursor.execute("SELECT pg_backend_pid()")
                    if cursor.fetchone() != first:
                        self.errors.append("a transaction changed its server connection")
                connection.commit()
                self.done += 1
            connection.close()
        except psycopg2.Error as error:
            self.errors.append(str(error))

    def __enter__(self) -> Clients:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end.set()
        for thread in self.threads:
            thread.join(30)


def test_a_new_pool_size_and_a_new_certificate_drop_no_client(stack: str) -> None:
    process, serial = pooler_pid(), presented(POOLER).serial_number
    # As if it were to end soon; and a certificate for a further name as well.
    with closing(connect()) as long, long.cursor() as cursor:
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        cursor.execute("SELECT pg_backend_pid()")
        server = cursor.fetchone()
        with Clients() as clients:
            time.sleep(1)
            role("pgbouncer", pgbouncer_pool_size_per_instance=14, certificates_renew_days=400)
            time.sleep(2)
        cursor.execute("SELECT pg_backend_pid()")
        assert cursor.fetchone() == server, "the open transaction goes on"
    assert clients.errors == []
    assert clients.done > 50
    assert presented(POOLER).serial_number != serial
    assert pooler_pid() == process
    with console() as cursor:
        cursor.execute("SHOW CONFIG")
        assert ("default_pool_size", "14") in [row[:2] for row in cursor.fetchall()]


def end(name: str, aim: Path) -> None:
    """As if time had passed: the server's certificate, on the controller and on the host, ended an hour ago."""
    folder = STACK / "secrets" / "tls"
    authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    certificate = x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes())
    ended = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(certificate.subject)
        .issuer_name(authority.subject)
        .public_key(certificate.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ended - datetime.timedelta(days=365))
        .not_valid_after(ended)
    )
    for extension in certificate.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    old = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    for file in (folder / f"{name}.pem", aim):
        file.write_bytes(old)


def test_an_expired_certificate_is_refused_and_renewed_without_a_restart(stack: str) -> None:
    """PostgreSQL's and PgBouncer's, by the playbook that an operator runs."""
    (host,) = Path("/etc/postgresql").glob("*/pgcutover_tls/tls/server.crt")
    end("stack-postgresql", host)
    end("stack-pgbouncer", STACK / "pgbouncer" / "tls" / "server.crt")
    admin("SELECT pg_reload_conf()")
    os.kill(pooler_pid(), signal.SIGHUP)
    time.sleep(2)
    for port in SIDES.values():
        with pytest.raises(psycopg2.OperationalError, match="certificate verify failed"):
            connect(port)
    started, process = admin("SELECT pg_postmaster_start_time()"), pooler_pid()
    output = said(playbook(ROOT / "playbooks" / "certificates.yml"))
    for name, port in SIDES.items():
        assert f"The certificate stack-{name} ended on " in output
        connect(port).close()
    assert admin("SELECT pg_postmaster_start_time()") == started
    assert pooler_pid() == process
    assert changed(playbook(ROOT / "playbooks" / "certificates.yml")) == 0


# ---------------------------------------------------------------- given certificates


def test_a_given_certificate_that_has_ended_is_refused_before_anything(stack: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "given")
    certificate, key = authority.sign("old", server=True, days=-1)
    _, other = authority.sign("new", server=True)
    before = presented(SERVER).serial_number
    given = {"postgresql_tls": "files", "postgresql_tls_certificate": str(certificate)}
    output = said(role("postgresql", fails=True, **given, postgresql_tls_key=str(key)))
    assert f"the certificate {certificate} (postgresql_tls_certificate) ended on " in output
    assert "Nothing was changed" in output
    output = said(role("postgresql", fails=True, **given, postgresql_tls_key=str(tmp_path / "none.key")))
    assert f"the key {tmp_path}/none.key (postgresql_tls_key) cannot be read on the controller" in output
    given["postgresql_tls_certificate"] = str(authority.sign("right", server=True)[0])
    output = said(role("postgresql", fails=True, **given, postgresql_tls_key=str(other)))
    assert "does not belong to the certificate" in output
    assert presented(SERVER).serial_number == before


def test_openssl_agrees_with_the_chain(stack: str) -> None:
    """Not our own reading of it: OpenSSL's."""
    for name, port in SIDES.items():
        done = subprocess.run(
            [
                *("openssl", "s_client", "-starttls", "postgres", "-connect", f"127.0.0.1:{port}"),
                *("-CAfile", str(TRUST), "-verify_return_error", "-verify_ip", "127.0.0.1"),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert "Verify return code: 0 (ok)" in done.stdout, (name, done.stdout[-500:], done.stderr)
