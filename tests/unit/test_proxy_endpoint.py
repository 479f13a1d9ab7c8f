# SPDX-License-Identifier: GPL-3.0-or-later
"""How proxies are named, and the file of their map. What a real HAProxy does is in tests/integration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cutover.switch import mapfile
from cutover.switch.proxy import Endpoint, Proxies, ProxyError

LOCAL = {"name": "first", "map_path": "/etc/haproxy/pg-cutover/cutover.map", "socket": "/run/haproxy/admin.sock"}
REMOTE = {
    "name": "second",
    "map_path": "/etc/haproxy/pg-cutover/cutover.map",
    "host": "192.0.2.1",
    "port": "9999",
    "ca": "/c/ca.pem",
    "certificate": "/c/client.pem",
    "key": "/c/client.key",
}


def test_endpoint() -> None:
    assert Endpoint.from_dict(LOCAL).local
    remote = Endpoint.from_dict(REMOTE)
    assert not remote.local
    assert remote.port == 9999
    assert str(remote) == "second (192.0.2.1:9999)"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({**LOCAL, "sokket": "/x"}, "unknown entry sokket"),
        ({**LOCAL, "host": "192.0.2.1"}, "socket and host are both given"),
        ({**LOCAL, "socket": ""}, "host, port, ca, certificate, key missing"),
        ({**REMOTE, "ca": ""}, "ca missing"),
        ({**REMOTE, "map_path": None}, "map_path missing"),
    ],
)
def test_endpoint_that_cannot_be(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ProxyError, match=message):
        Endpoint.from_dict(entry)


def test_no_proxy_at_all() -> None:
    with pytest.raises(ProxyError, match="there is no proxy"):
        Proxies([])


def test_proxy_that_is_not_there_is_named(tmp_path: Path) -> None:
    endpoint = {**LOCAL, "socket": str(tmp_path / "none.sock")}
    with Proxies([endpoint]) as proxies:
        with pytest.raises(ProxyError, match=r"did not answer on first \(.*none.sock\)"):
            proxies.check()
        assert "did not answer" in proxies.state()[0]["error"]


def test_map_file_keeps_what_is_not_ours() -> None:
    text = "# about\nmaintenance off\nroute blue\nroute green\n\nother x\n"
    assert mapfile.entries_of(text) == {"maintenance": "off", "route": "blue", "other": "x"}
    after = mapfile.with_entries(text, {"route": "green", "hold": "17"})
    assert after == "# about\nmaintenance off\nroute green\n\nother x\nhold 17\n"


@pytest.mark.parametrize("durable", [True, False])
def test_map_file_keeps_its_mode(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "cutover.map"
    path.write_text("route blue\n")
    path.chmod(0o644)
    mapfile.write(str(path), "route green\n", durable=durable)
    assert path.read_text() == "route green\n"
    assert path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path) == ["cutover.map"]
