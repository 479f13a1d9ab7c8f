# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that decide where TLS is needed and for which names a certificate is made."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Any

from ansible.errors import AnsibleFilterError

MODES = ("auto", "none", "authority", "files")
# What a server listens on, but nobody connects to.
ANYWHERE = ("*", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound


def address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The name as an address, if it is one."""
    try:
        return ipaddress.ip_address(name.strip().strip("[]"))
    except ValueError:
        return None


def beyond_loopback(names: Iterable[str]) -> list[str]:
    """Of addresses, networks (CIDR) and names those that are not this host alone."""
    found = []
    for name in names:
        text = str(name).strip()
        if text in ("", "localhost", "samehost"):
            continue
        try:
            own = ipaddress.ip_network(text.strip("[]"), strict=False).is_loopback
        except ValueError:
            own = False
        if not own:
            found.append(text)
    return found


def tls_mode(wanted: str, addresses: Iterable[str]) -> str:
    """What auto means: a certificate of the migration's authority as soon as others than this host can connect."""
    if wanted not in MODES:
        raise AnsibleFilterError(f"{wanted} is no kind of TLS here; it is one of {', '.join(MODES)}")
    if wanted == "auto":
        return "authority" if beyond_loopback(addresses) else "none"
    return wanted


def alternatives(names: Iterable[Any]) -> list[str]:
    """The names and addresses as subjectAltName, each once and in an order that does not change."""
    plain = {str(name).strip().strip("[]") for name in names if name} - {"", *ANYWHERE}
    found = ((address(name), name) for name in plain)
    return sorted({f"IP:{where}" if where else f"DNS:{name.lower()}" for where, name in found})


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Ansible asks for this."""
        return {
            "tls_alternatives": alternatives,
            "tls_beyond_loopback": beyond_loopback,
            "tls_mode": tls_mode,
        }
