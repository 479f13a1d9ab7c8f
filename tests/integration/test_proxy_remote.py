# SPDX-License-Identifier: GPL-3.0-or-later
"""A proxy on another host is commanded over TLS by who has a certificate of this migration, and by nobody else."""

from __future__ import annotations

import shutil
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from cutover.switch.proxy import KINDS, Endpoint, Proxies, ProxyError
from support.certificates import Authority
from support.proxies import HaProxy, application, free_port, haproxy, now_ms


class Remote:
    """A proxy with its admin port, the endpoint that may use it, and authorities."""

    def __init__(self, proxy: HaProxy, port: int, own: Authority, foreign: Authority) -> None:
        certificate, key = own.sign("client", server=False)
        self.proxy, self.port, self.own, self.foreign = proxy, port, own, foreign
        self.endpoint = Endpoint(
            name="remote",
            map_path=str(proxy.map_file),
            host="127.0.0.1",
            port=port,
            ca=str(own.path),
            certificate=str(certificate),
            key=str(key),
        )


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    base = tmp_path_factory.mktemp("remote")
    base.chmod(0o755)
    own, foreign = Authority(base / "own"), Authority(base / "foreign")
    folder = base / "proxy"
    folder.mkdir()
    shutil.copy(own.path, folder / "ca.pem")
    shutil.copy(own.sign("server", server=True)[0], folder / "server.pem")
    port = free_port()
    with (
        application("blue") as blue,
        application("green") as green,
        haproxy(folder, blue, green, haproxy_admin_bind=f"127.0.0.1:{port}") as proxy,
    ):
        yield Remote(proxy, port, own, foreign)


def test_holds_switches_and_releases(remote: Remote, record_property: Any) -> None:
    with Proxies([remote.endpoint], timeout=5) as proxies:
        proxies.check()
        for side, other in (("green", "blue"), ("blue", "green")):
            deadline = now_ms() + 5000
            begin = time.monotonic()
            proxies.hold(deadline)
            proxies.wait_idle(other, KINDS, time.monotonic() + 5)
            proxies.confirm(deadline)
            proxies.route(side)
            proxies.release()
            record_property(f"to_{side}_ms", round((time.monotonic() - begin) * 1000, 1))
            assert remote.proxy.request()["side"] == side
    # The file is on the other host; the playbook writes it there.
    assert "route blue\nhold 0\n" in remote.proxy.map_file.read_text()


def refused(endpoint: Endpoint) -> str:
    with Proxies([endpoint], timeout=3) as proxies, pytest.raises(ProxyError) as caught:
        proxies.check()
    return caught.value.message


def test_certificate_of_another_authority_is_refused(remote: Remote) -> None:
    certificate, key = remote.foreign.sign("client", server=False)
    message = refused(replace(remote.endpoint, certificate=str(certificate), key=str(key)))
    assert f"did not answer on remote (127.0.0.1:{remote.port})" in message
    assert "certificates of this migration" in message


def test_expired_certificate_is_refused(remote: Remote) -> None:
    certificate, key = remote.own.sign("expired", server=False, days=-1)
    assert "certificates of this migration" in refused(
        replace(remote.endpoint, certificate=str(certificate), key=str(key))
    )


def test_certificate_of_a_proxy_commands_no_other_proxy(remote: Remote) -> None:
    certificate, key = remote.own.sign("other", server=True)
    assert "did not answer" in refused(replace(remote.endpoint, certificate=str(certificate), key=str(key)))


def test_proxy_that_is_not_of_this_migration_is_not_trusted(remote: Remote) -> None:
    assert "certificate verify failed" in refused(replace(remote.endpoint, ca=str(remote.foreign.path)))
    assert "certificate verify failed" in refused(replace(remote.endpoint, server_name="proxy.example.net"))


@pytest.mark.parametrize("how", ["plain", "tls_without_certificate"])
def test_without_a_certificate_nothing_is_answered(remote: Remote, how: str) -> None:
    with closing(socket.create_connection(("127.0.0.1", remote.port), timeout=5)) as plain:
        answer = b""
        try:
            if how == "plain":
                client: socket.socket = plain
            else:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.load_verify_locations(remote.own.path)
                client = context.wrap_socket(plain, server_hostname="127.0.0.1")
            client.sendall(b"show info\n")
            answer = client.recv(4096)
        except OSError:
            pass
    assert b"HAProxy" not in answer
    assert b"Pid" not in answer
    with Proxies([remote.endpoint], timeout=5) as proxies:
        assert proxies.state()[0]["route"] == "blue"


def test_missing_file_is_named(remote: Remote) -> None:
    assert "No such file" in refused(replace(remote.endpoint, ca="/nowhere/ca.pem"))
