# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role haproxy writes; tests/integration runs it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.proxies import render, servers

FOLDER = Path("/somewhere")


def text(**variables: object) -> str:
    return render(
        FOLDER,
        **{"haproxy_bind": ["*:80"], "haproxy_servers": servers(1), "haproxy_chroot": "/var/lib/haproxy", **variables},
    )


def backends(config: str) -> list[str]:
    return re.findall(r"^backend (\S+)", config, re.M)


def test_one_side_without_green() -> None:
    config = text()
    assert backends(config) == ["blue_read", "blue_write"]
    assert "to_green" not in config
    assert "default_backend blue_read" in config


def test_two_sides() -> None:
    config = text(haproxy_green_servers=servers(2, 3))
    assert backends(config) == ["blue_read", "blue_write", "green_read", "green_write"]
    assert config.index("use_backend green_write if to_green !is_read") < config.index(
        "use_backend green_read if to_green"
    )
    assert "server app2 127.0.0.1:3 track green_read/app2" in config


def test_hold_comes_before_what_is_looked_up_after_it_and_each_key_is_looked_up_once() -> None:
    config = text(haproxy_green_servers=servers(2))
    places = [config.index(f"str({key}),map(") for key in ("hold", "maintenance", "route")]
    assert places == sorted(places)
    assert [config.count(f"str({key}),map(") for key in ("hold", "maintenance", "route")] == [1, 1, 1]
    assert places[0] < config.index("lua.pg_cutover_hold") < config.index("txn.parked") < places[1]


@pytest.mark.parametrize(("hold", "condition"), [("all", "if !flowing\n"), ("writes", "if !flowing !is_read\n")])
def test_which_requests_wait(hold: str, condition: str) -> None:
    assert f"lua.pg_cutover_hold {condition}" in text(haproxy_hold=hold)


def test_no_port_for_commands_unless_it_is_wanted() -> None:
    assert "verify" not in text()
    assert text().count("stats socket") == 1
    config = text(haproxy_admin_bind="192.0.2.1:9999")
    (bind,) = re.findall(r"^ +bind 192\.0\.2\.1:9999 (.*)", config, re.M)
    assert bind == "ssl crt /somewhere/server.pem ca-file /somewhere/ca.pem verify required ssl-min-ver TLSv1.2"
    # No stats socket listens on TCP: HAProxy would ignore `ssl` there.
    assert [line for line in re.findall(r"stats socket (\S+)", config) if not line.startswith("/")] == []
    assert [line for line in re.findall(r"stats socket .*", config) if "mode 600" not in line] == []
