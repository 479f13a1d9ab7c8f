# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role postgresql_docker makes of what Docker and the host say: addresses, images, volumes, ports."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

LOOPBACK = {4: "127.0.0.1", 6: "::1"}


#: Labels of a container or a volume: which role has made it, and for which migration.
ROLE, MIGRATION = "pg-cutover.role", "pg-cutover.migration"
_MADE_BY = "postgresql_docker"


def made_here(labels: Mapping[str, str] | None) -> bool:
    """Whether the role has made what has these labels."""
    return (labels or {}).get(ROLE) == _MADE_BY


def other_migration(labels: Mapping[str, str] | None, migration: str) -> str:
    """The migration, if it is another one, to which something with these labels belongs; what has none is anybody's."""
    owner = (labels or {}).get(MIGRATION) or migration
    return "" if owner == migration else owner


def container_problem(answer: Mapping[str, Any], name: str, migration: str) -> str:
    """Why a container must not be touched, by what docker_container_info answers; '' when it may be."""
    if not answer.get("exists"):
        return ""
    configuration = (answer.get("container") or {}).get("Config") or {}
    labels = configuration.get("Labels")
    if not made_here(labels):
        return (
            f"has a container {name} (image {configuration.get('Image') or ''}) that this role did not create. "
            "It is not touched. Set postgresql_docker_container to another name"
        )
    other = other_migration(labels, migration)
    if other:
        return (
            f"has a container {name} of the migration {other}, and this is {migration}. It is not touched. Set "
            "postgresql_docker_container to another name and postgresql_docker_port to another port"
        )
    return ""


def volume_problem(answer: Mapping[str, Any], name: str, migration: str) -> str:
    """Why a volume must not be used, by what docker_volume_info answers; '' when it may be, or when files in it decide."""
    labels = (answer.get("volume") or {}).get("Labels") if answer.get("exists") else None
    other = other_migration(labels, migration) if made_here(labels) else ""
    if not other:
        return ""
    return (
        f"has a volume {name} of the migration {other}, and this is {migration}. It is not touched. Set "
        "postgresql_docker_volume to another name, or postgresql_docker_adopt_volume: true to use it"
    )


def address_of(text: Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address, or one clear message."""
    try:
        return ipaddress.ip_address(str(text))
    except ValueError:
        raise AnsibleFilterError(
            f"postgresql_docker_addresses holds {text}, which is no IP address; Docker publishes a port on addresses"
        ) from None


def address_problem(addresses: Iterable[Any], own: Iterable[str], public: bool) -> str:
    """Why a port cannot be published on these addresses of a host that has the addresses ``own``; '' when it can."""
    wanted = [address_of(text) for text in addresses]
    known = {ipaddress.ip_address(text.split("%")[0]) for text in own}
    if not wanted:
        return "postgresql_docker_addresses is empty; 127.0.0.1 is the least"
    for address in wanted:
        if address.is_unspecified and not public:
            return (
                f"postgresql_docker_addresses holds {address}, which is every address of the host, and Docker lets "
                "a published port past the host's firewall. Name the addresses on which PostgreSQL shall be reached, "
                "or set postgresql_docker_public: true"
            )
        if not (address.is_unspecified or address.is_loopback or address in known):
            listed = ", ".join(sorted(str(a) for a in known if not a.is_link_local)) or "none"
            return f"postgresql_docker_addresses holds {address}, which the host does not have (it has {listed})"
    return ""


def published(addresses: Iterable[Any], port: Any) -> list[str]:
    """The ports as Docker takes them."""
    parsed = [address_of(text) for text in addresses]
    return [f"[{a}]:{port}:5432" if a.version == 6 else f"{a}:{port}:5432" for a in parsed]


def reached_at(addresses: Iterable[Any]) -> str:
    """The address at which the host itself reaches its container: the loopback where that is published."""
    parsed = [address_of(text) for text in addresses]
    for version in (4, 6):
        if any(a.version == version and (a.is_unspecified or a.is_loopback) for a in parsed):
            # Any of 127.0.0.0/8 may have been asked for, each is an address of its own.
            exact = [str(a) for a in parsed if a.version == version and a.is_loopback]
            return exact[0] if exact else LOOPBACK[version]
    return str(parsed[0]) if parsed else LOOPBACK[4]


def only_loopback(addresses: Iterable[Any]) -> bool:
    """Whether no other host can reach what is published."""
    return all(address_of(text).is_loopback for text in addresses)


def image_facts(image: Mapping[str, Any]) -> dict[str, Any]:
    """What the role must know of an image: it keeps to the conventions of the official one, or is refused."""
    configuration = image.get("Config") or {}
    environment = dict(pair.split("=", 1) for pair in configuration.get("Env") or [] if "=" in pair)
    data = environment.get("PGDATA", "")
    volumes = sorted(configuration.get("Volumes") or {}, key=len)
    # Where the image says that its data is kept, else an anonymous volume would lie there as well.
    mounts = [path for path in volumes if data == path or data.startswith(path.rstrip("/") + "/")]
    major = environment.get("PG_MAJOR", "")
    return {
        "id": image.get("Id", ""),
        "major": int(major) if major.isdigit() else 0,
        "version": environment.get("PG_VERSION", ""),
        "data": data,
        "mount": mounts[0] if mounts else data,
    }


def looked(output: str) -> dict[str, Any]:
    """What files/look.sh has found in image and volume."""
    found: dict[str, list[str]] = {"uid": [], "entry": [], "version": [], "initialized": []}
    for line in output.splitlines():
        word, _, value = line.strip().partition(" ")
        if word in found and value:
            found[word].append(value)
    if not found["uid"] or not found["uid"][0].isdigit():
        raise AnsibleFilterError(
            "the image has no user postgres; the official image of PostgreSQL and those made from it have"
        )
    return {
        "uid": int(found["uid"][0]),
        "empty": not found["entry"],
        "versions": sorted({int(value) for value in found["version"] if value.isdigit()}),
        "initialized": bool(found["initialized"]),
    }


def port_holders(
    listening: Iterable[Mapping[str, Any]],
    containers: Iterable[Mapping[str, Any]],
    addresses: Iterable[Any],
    port: Any,
    own: str,
) -> list[str]:
    """Who has the port on one of the addresses, other than the container ``own``."""
    wanted = [address_of(text) for text in addresses]

    def meets(text: str) -> bool:
        """Whether two addresses stand in each other's way; a wildcard of IPv6 may take IPv4 as well."""
        bare = text.split("%")[0].strip("[]")
        if bare == "*":
            return True
        there = ipaddress.ip_address(bare or "::")
        return any(
            a == there
            or ((a.is_unspecified or there.is_unspecified) and (a.version == there.version or there.version == 6))
            for a in wanted
        )

    holders, ours = [], False
    for container in containers:
        names = [name.lstrip("/") for name in container.get("Names") or []]
        taken = [
            f"{bound.get('IP') or '*'}:{port}"
            for bound in container.get("Ports") or []
            if bound.get("PublicPort") == int(port) and meets(bound.get("IP") or "*")
        ]
        if taken and own in names:
            ours = True
        elif taken:
            holders.append(f"the container {names[0] if names else '?'} ({', '.join(sorted(set(taken)))})")
    for entry in listening:
        proxy = entry.get("name") == "docker-proxy"
        # What Docker's own process holds is told as the container that it serves.
        if (
            int(entry.get("port") or 0) != int(port)
            or not meets(str(entry["address"]))
            or (proxy and (ours or holders))
        ):
            continue
        pid = entry.get("pid")
        holders.append(
            f"{entry.get('name') or 'a process'}{f', process {pid}' if pid else ''} ({entry['address']}:{port})"
        )
    return holders


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Ansible asks for this."""
        return {
            "docker_address_problem": address_problem,
            "docker_container_problem": container_problem,
            "docker_made_here": made_here,
            "docker_volume_problem": volume_problem,
            "docker_published": published,
            "docker_reached_at": reached_at,
            "docker_only_loopback": only_loopback,
            "docker_image_facts": image_facts,
            "docker_looked": looked,
            "docker_port_holders": port_holders,
        }
