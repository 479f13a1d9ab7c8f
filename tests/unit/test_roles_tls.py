# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles' filters for TLS, pools and ports."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from support.project import load

TLS = load("filter_plugins/tls.py")
POOLS = load("filter_plugins/pools.py")
ANYWHERE = "0.0.0.0"  # noqa: S104 - compared with, not bound

# ---------------------------------------------------------------- where TLS is needed


@pytest.mark.parametrize(
    "own", ["127.0.0.1", "127.0.0.0/8", "::1", "[::1]", "::1/128", "localhost", "samehost", " 127.0.1.1 "]
)
def test_this_host_alone_needs_no_tls(own: str) -> None:
    assert TLS.beyond_loopback([own]) == []
    assert TLS.tls_mode("auto", [own]) == "none"


@pytest.mark.parametrize(
    "other", ["*", ANYWHERE, "::", "10.0.0.21", "0.0.0.0/0", "fd00::/8", "db.example", "samenet", "all"]
)
def test_whoever_else_can_connect_does(other: str) -> None:
    assert TLS.beyond_loopback(["127.0.0.1", other]) == [other]
    assert TLS.tls_mode("auto", ["127.0.0.1", other]) == "authority"


@pytest.mark.parametrize("wanted", ["none", "authority", "files"])
def test_what_is_said_holds_wherever_it_listens(wanted: str) -> None:
    assert TLS.tls_mode(wanted, ["127.0.0.1"]) == TLS.tls_mode(wanted, ["*"]) == wanted


def test_an_unquoted_off_is_refused_with_the_words_that_can_be_used() -> None:
    with pytest.raises(AnsibleFilterError, match="one of auto, none, authority, files"):
        TLS.tls_mode("False", ["*"])


@given(
    st.lists(
        st.sampled_from(
            ["db1", "DB1", "127.0.0.1", "::1", "[::1]", "0:0:0:0:0:0:0:1", "*", ANYWHERE, "", "db1.example"]
        )
    )
)
def test_names_of_a_certificate_are_each_there_once_in_one_order(names: list[str]) -> None:
    found = TLS.alternatives(names)
    assert found == TLS.alternatives(list(reversed(names))) == sorted(set(found))
    assert not any("*" in name or name.endswith(":0.0.0.0") for name in found)
    for name in found:
        kind, value = name.split(":", 1)
        if kind == "IP":
            x509.IPAddress(TLS.address(value))
        else:
            x509.DNSName(value)


# ---------------------------------------------------------------- pools


@pytest.mark.parametrize(
    ("poolers", "applications", "expected"),
    [
        # beside PostgreSQL, or on a host of its own
        (["db1"], ["web1", "web2"], {"db1": 2}),
        # on the hosts of the application
        (["web1", "web2"], ["web1", "web2"], {"web1": 1, "web2": 1}),
        # one application's host has its own, the others share one
        (["web1", "pool1"], ["web1", "web2", "web3"], {"web1": 1, "pool1": 2}),
        # one of them serves all
        (["web1"], ["web1", "web2", "web3"], {"web1": 3}),
        # a second one stands by
        (["pool1", "pool2"], ["web1", "web2"], {"pool1": 2, "pool2": 2}),
        # no group app
        (["web1"], [], {"web1": 1}),
    ],
)
def test_instances_come_from_the_inventory(
    poolers: list[str], applications: list[str], expected: dict[str, int]
) -> None:
    for each in (1, 3):
        found = {host: POOLS.pgbouncer_instances(host, poolers, applications, each) for host in poolers}
        assert found == {host: count * each for host, count in expected.items()}


@given(st.lists(st.sampled_from("abcdef"), unique=True, min_size=1), st.lists(st.sampled_from("abcdef"), unique=True))
def test_every_instance_has_a_place_in_a_pool(poolers: list[str], applications: list[str]) -> None:
    places = sum(POOLS.pgbouncer_instances(host, poolers, applications) for host in poolers)
    assert places >= len(applications)


def server(**changed: int) -> dict[str, int]:
    return {"max_connections": 100, "kept": 3, "app_limit": -1, "database_limit": -1, **changed}


def test_pools_fit_up_to_the_last_connection() -> None:
    # 80 + 2 + 15 = 97 = 100 - 3
    assert POOLS.pgbouncer_fit({"web1": 40, "web2": 40}, server(), 15)["fits"]
    refused = POOLS.pgbouncer_fit({"web1": 40, "web2": 40}, server(), 16, "db1:5432")
    assert not refused["fits"]
    assert refused["text"] == (
        "40 (web1) + 40 (web2) for the application, 2 for PgBouncer's look-ups and 16 for the migration and administration "
        "make 98; db1:5432 gives 97 (max_connections 100, 3 kept for superusers)"
    )


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"app_limit": 39}, "role is limited to 39, and 40 are its own"),
        ({"database_limit": 52}, "the database is limited to 52"),
    ],
)
def test_limits_of_role_and_database_count(limits: dict[str, int], reason: str) -> None:
    found = POOLS.pgbouncer_fit({"web1": 40}, server(**limits), 12)
    assert not found["fits"]
    assert reason in found["text"]


# ---------------------------------------------------------------- ports


def listener(address: str, name: str = "nginx", port: int = 5432, pid: int = 7) -> dict[str, Any]:
    return {"address": address, "port": port, "name": name, "pid": pid}


@pytest.mark.parametrize("address", ["127.0.0.1", ANYWHERE, "::", "*"])
def test_a_port_that_somebody_has_is_named(address: str) -> None:
    assert POOLS.port_taken([listener(address)], 5432, ["localhost"], "postgres") == f"nginx (pid 7) on {address}"


def test_other_ports_other_addresses_and_oneself_are_no_obstacle() -> None:
    assert POOLS.port_taken([listener("127.0.0.1", port=5433)], 5432, ["127.0.0.1"]) == ""
    assert POOLS.port_taken([listener("10.0.0.1")], "5432", ["127.0.0.1"]) == ""
    assert POOLS.port_taken([listener("127.0.0.1", "postgres")], 5432, ["127.0.0.1"], "postgres") == ""
    assert POOLS.port_taken([listener("127.0.0.1", "pgbouncer")], 5432, ["*"], "pgbouncer", 7) == ""
    assert POOLS.port_taken([listener("127.0.0.1", "pgbouncer")], 5432, ["*"], "pgbouncer", 8) != ""


@pytest.mark.parametrize("unseen", [{"name": "", "pid": 0}, {"name": "", "pid": 7}, {"name": "postgres", "pid": 0}])
def test_a_process_that_cannot_be_seen_may_be_the_server_itself(unseen: dict[str, Any]) -> None:
    assert POOLS.port_taken([{**listener("127.0.0.1"), **unseen}], 5432, ["127.0.0.1"], "postgres") == ""
