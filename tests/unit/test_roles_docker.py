# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role postgresql_docker makes of what Docker and the host say."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from support.project import load

DOCKER = load("filter_plugins/postgresql_docker.py")
EVERYWHERE = "0.0.0.0"  # noqa: S104 - to see it refused
OWN = ["10.0.0.5", "fe80::1%eth0", "2001:db8::5"]


@pytest.mark.parametrize(
    ("addresses", "public", "problem"),
    [
        (["127.0.0.1"], False, ""),
        (["127.0.0.1", "::1", "10.0.0.5", "2001:db8::5"], False, ""),
        (["127.0.0.2"], False, ""),
        ([EVERYWHERE], True, ""),
        ([EVERYWHERE], False, "postgresql_docker_public"),
        (["127.0.0.1", "::"], False, "postgresql_docker_public"),
        (["10.0.0.6"], False, "does not have (it has 10.0.0.5, 2001:db8::5)"),
        ([], False, "empty"),
    ],
)
def test_addresses_are_checked_before_docker_is_asked(addresses: list[str], public: bool, problem: str) -> None:
    said = DOCKER.address_problem(addresses, OWN, public)
    assert (problem in said) if problem else said == ""


def test_a_name_is_no_address() -> None:
    with pytest.raises(AnsibleFilterError, match="db1, which is no IP address"):
        DOCKER.published(["db1"], 5432)


def test_ports_are_written_as_docker_takes_them() -> None:
    assert DOCKER.published(["127.0.0.1", "::1"], 6000) == ["127.0.0.1:6000:5432", "[::1]:6000:5432"]


@pytest.mark.parametrize(
    ("addresses", "at"),
    [
        (["127.0.0.1"], "127.0.0.1"),
        (["10.0.0.5", "127.0.0.1"], "127.0.0.1"),
        ([EVERYWHERE], "127.0.0.1"),
        (["::1"], "::1"),
        (["::"], "::1"),
        (["127.0.0.7"], "127.0.0.7"),
        (["10.0.0.5"], "10.0.0.5"),
    ],
)
def test_the_host_reaches_its_container_over_the_loopback_where_it_can(addresses: list[str], at: str) -> None:
    assert DOCKER.reached_at(addresses) == at


def test_only_the_loopback_is_closed_to_other_hosts() -> None:
    assert DOCKER.only_loopback(["127.0.0.1", "::1"])
    assert not DOCKER.only_loopback(["127.0.0.1", "10.0.0.5"])
    assert not DOCKER.only_loopback([EVERYWHERE])


def image(environment: list[str], *volumes: str) -> dict[str, object]:
    """An image as Docker describes it."""
    return {"Id": "sha256:1", "Config": {"Env": environment, "Volumes": {path: {} for path in volumes} or None}}


@pytest.mark.parametrize(
    ("environment", "volumes", "major", "mount"),
    [
        (["PG_MAJOR=15", "PG_VERSION=15.14-1", "PGDATA=/var/lib/postgresql/data"], ["/var/lib/postgresql/data"], 15, "/var/lib/postgresql/data"),
        # From 18 on the official image keeps the data one folder for each major version below its volume.
        (["PG_MAJOR=18", "PGDATA=/var/lib/postgresql/18/docker"], ["/var/lib/postgresql"], 18, "/var/lib/postgresql"),
        (["PG_MAJOR=17", "PGDATA=/data"], ["/other"], 17, "/data"),
        (["PG_MAJOR=17", "PGDATA=/database"], ["/data"], 17, "/database"),
        (["PATH=/bin"], [], 0, ""),
    ],
)  # fmt: skip
def test_an_image_says_where_its_data_is(environment: list[str], volumes: list[str], major: int, mount: str) -> None:
    facts = DOCKER.image_facts(image(environment, *volumes))
    assert (facts["major"], facts["mount"]) == (major, mount)


def test_what_was_seen_in_a_volume() -> None:
    nothing = DOCKER.looked("uid 999\n")
    assert (nothing["uid"], nothing["empty"], nothing["versions"]) == (999, True, [])
    used = DOCKER.looked("uid 70\nentry PG_VERSION\nentry base\nversion 14\ninitialized .pg-cutover-initialized\n")
    assert used == {"uid": 70, "empty": False, "versions": [14], "initialized": True}
    strange = DOCKER.looked("uid 70\nentry photos\n")
    assert not strange["empty"]
    assert strange["versions"] == []
    with pytest.raises(AnsibleFilterError, match="no user postgres"):
        DOCKER.looked("uid \n")


LISTENING = [
    {"name": "postgres", "pid": 812, "address": "127.0.0.1", "port": 5432},
    {"name": "nginx", "pid": 9, "address": "*", "port": 80},
    {"name": "sshd", "pid": 5, "address": "::", "port": 22},
    {"name": "docker-proxy", "pid": 77, "address": "127.0.0.1", "port": 6000},
    {"name": "dns", "pid": 3, "address": "127.0.0.53%lo", "port": 53},
]
CONTAINERS = [
    {"Names": ["/web-db"], "Ports": [{"IP": "127.0.0.1", "PrivatePort": 5432, "PublicPort": 6000, "Type": "tcp"}]}
]


@pytest.mark.parametrize(
    ("addresses", "port", "holders"),
    [
        (["127.0.0.1"], 5433, []),
        (["127.0.0.1"], 5432, ["postgres, process 812 (127.0.0.1:5432)"]),
        ([EVERYWHERE], 5432, ["postgres, process 812 (127.0.0.1:5432)"]),
        (["10.0.0.5", "::1"], 5432, []),
        (["10.0.0.5"], 80, ["nginx, process 9 (*:80)"]),
        (["10.0.0.5"], 22, ["sshd, process 5 (:::22)"]),
        (["127.0.0.1"], 53, []),
        (["127.0.0.53"], 53, ["dns, process 3 (127.0.0.53%lo:53)"]),
        # Not the process that stands for the container.
        (["127.0.0.1"], 6000, ["the container web-db (127.0.0.1:6000)"]),
    ],
)
def test_who_has_a_port(addresses: list[str], port: int, holders: list[str]) -> None:
    assert DOCKER.port_holders(LISTENING, CONTAINERS, addresses, port, "ours") == holders


def test_its_own_container_has_its_port() -> None:
    assert DOCKER.port_holders(LISTENING, CONTAINERS, ["127.0.0.1"], 6000, "web-db") == []
    assert DOCKER.port_holders([], CONTAINERS, ["127.0.0.1"], 6000, "other") == [
        "the container web-db (127.0.0.1:6000)"
    ]


def container(**labels: str) -> dict[str, Any]:
    """What docker_container_info says of a container with these labels."""
    return {"exists": True, "container": {"Config": {"Image": "postgres:15", "Labels": labels or None}}}


MADE = {"pg-cutover.role": "postgresql_docker"}


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"exists": False, "container": None}, ""),
        (container(**MADE, **{"pg-cutover.migration": "shop"}), ""),
        # As made before there was the label.
        (container(**MADE), ""),
        (container(), "has a container pg (image postgres:15) that this role did not create. It is not touched"),
        (
            container(**MADE, **{"pg-cutover.migration": "blog"}),
            "has a container pg of the migration blog, and this is shop. It is not touched. Set postgresql_docker_container",
        ),
    ],
)
def test_a_container_of_somebody_else_or_of_another_migration_is_not_touched(answer: Any, problem: str) -> None:
    said = DOCKER.container_problem(answer, "pg", "shop")
    assert (problem in said) if problem else said == ""


def test_a_volume_of_another_migration_is_not_used() -> None:
    def volume(labels: dict[str, str] | None) -> dict[str, Any]:
        return {"exists": True, "volume": {"Name": "pg-data", "Labels": labels}}

    for good in (
        {"exists": False, "volume": None},
        volume(None),
        volume(MADE),
        volume({**MADE, "pg-cutover.migration": "shop"}),
    ):
        assert DOCKER.volume_problem(good, "pg-data", "shop") == ""
    said = DOCKER.volume_problem(volume({**MADE, "pg-cutover.migration": "blog"}), "pg-data", "shop")
    assert said.startswith("has a volume pg-data of the migration blog, and this is shop.")
