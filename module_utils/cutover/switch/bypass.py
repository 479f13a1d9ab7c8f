# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to the application that do not come from the proxy: no hold reaches their requests.

They were made before the proxy was put in front, or by somebody who knows the instance's own port.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Callable, NamedTuple

from ..errors import CutoverError

_ESTABLISHED = "01"
_TABLES = ("tcp", "tcp6")
#: Between two looks at what could not be told in the first one.
_AGAIN_SECONDS = 0.05

End = tuple[str, int]
#: A connection: the end at the application, the other one.
Pair = tuple[End, End]


class Row(NamedTuple):
    """A line of the kernel's table: an end on this host, the other one, whose the socket is."""

    local: End
    remote: End
    account: str
    inode: str


def connections(
    ports: Iterable[int], proxies: Iterable[str] = (), programs: Iterable[str] = ("haproxy",)
) -> dict[str, int]:
    """Established connections to ``ports`` of this host that do not come from a proxy: {peer's address: how many}.

    proxies: names or addresses of proxies on other hosts. programs: names of processes of this host that are a proxy; a
    connection from this host counts unless its other end belongs to one of them (which only root can see of
    everybody). Raises CutoverError when the kernel's table cannot be read, or a name is not known.
    """
    wanted, names = set(ports), set(programs)
    allowed = {address for proxy in proxies for address in _addresses(proxy)}
    suspects, sure = _look(wanted, allowed, names)
    if suspects - sure:
        # A proxy's connection that was opened or closed between two reads has no owner in the first of two looks only.
        time.sleep(_AGAIN_SECONDS)
        again, surely = _look(wanted, allowed, names)
        sure |= surely | (suspects & again)
    return dict(Counter(remote[0] for _, remote in sure))


def _look(wanted: set[int], allowed: set[str], programs: set[str]) -> tuple[set[Pair], set[Pair]]:
    """(connections that are not seen to be a proxy's, those of them that are surely somebody else's)."""
    rows = list(_rows())
    own, accounts = _sockets(lambda name: name in programs)
    # The other end of a connection within this host is a row of its own.
    ends = {(row.local, row.remote): row for row in rows}
    other_end = {pair: ends.get((pair[1], pair[0])) for pair in ends}
    suspects = {
        pair
        for pair, end in other_end.items()
        if pair[0][1] in wanted and pair[1][0] not in allowed and (end is None or end.inode not in own)
    }
    if not suspects:
        return set(), set()
    here = {row.local[0] for row in rows}
    # What the kernel's table says itself needs no second look: the account whose process made the connection.
    accounts = {row.account for row in rows if row.inode in own} or accounts
    others = _sockets(lambda name: name not in programs)[0]
    sure = set()
    for pair in suspects:
        end = other_end[pair]
        if pair[1][0] not in here or (end is not None and (end.account not in accounts or end.inode in others)):
            sure.add(pair)
    return suspects, sure


def wait(
    ports: Iterable[int],
    proxies: Iterable[str],
    until: float,
    programs: Iterable[str] = ("haproxy",),
    pause: float = 0.2,
) -> float:
    """Wait until there are none; returns the seconds it took.

    until: ``time.monotonic()`` at which to give up. Raises CutoverError with the peers that are left.
    """
    wanted, allowed, names = tuple(ports), tuple(proxies), tuple(programs)
    started = time.monotonic()
    while True:
        found = connections(wanted, allowed, names)
        if not found:
            return time.monotonic() - started
        if time.monotonic() >= until:
            raise CutoverError(explain(found, wanted))
        time.sleep(pause)


def explain(found: dict[str, int], ports: Iterable[int]) -> str:
    """The connections in words."""
    peers = ", ".join(f"{count} from {peer}" for peer, count in sorted(found.items()))
    return (
        f"{sum(found.values())} connection(s) to the application's port {', '.join(map(str, ports))} do not come from the "
        f"proxy ({peers}): their writes would not be held. Let these clients come through the proxy, or restart the "
        "application once, which ends what was connected before."
    )


def _rows() -> Iterator[Row]:
    """Established connections."""
    read = 0
    for name in _TABLES:
        with suppress(FileNotFoundError), open(f"/proc/net/{name}", encoding="ascii") as file:
            read += 1
            next(file)
            for line in file:
                words = line.split()
                if words[3] == _ESTABLISHED:
                    yield Row(_end(words[1]), _end(words[2]), words[7], words[9])
    if not read:
        raise CutoverError(
            "/proc/net/tcp cannot be read: connections to the application cannot be counted on this host."
        )


def _end(text: str) -> End:
    """From the kernel's hexadecimal form, in which each 32-bit word has this machine's byte order."""
    address, _, port = text.partition(":")
    words = re.findall("." * 8, address)
    packed = b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)
    return _normal(str(ipaddress.ip_address(packed))), int(port, 16)


def _addresses(proxy: str) -> set[str]:
    """The addresses of a host that is given by its name, as inventories do, or by its address."""
    try:
        found = socket.getaddrinfo(proxy, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise CutoverError(
            f"This host does not know the address of the proxy {proxy} ({error}): its connections cannot be told from those "
            "that bypass it. Make the name known here, or set ansible_host to an address."
        ) from None
    return {_normal(str(entry[4][0]).partition("%")[0]) for entry in found}


def _normal(address: str) -> str:
    """One spelling an address; an IPv4 address in an IPv6 one is the IPv4 address."""
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return str(found)


def _sockets(wanted: Callable[[str], bool]) -> tuple[set[str], set[str]]:
    """(inodes of the sockets of the processes whose names are wanted, the accounts of these processes)."""
    inodes: set[str] = set()
    accounts: set[str] = set()
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with suppress(OSError):
            with open(f"/proc/{entry}/comm", encoding="utf-8", errors="replace") as file:
                if not wanted(file.read().strip()):
                    continue
            accounts.add(str(os.stat(f"/proc/{entry}").st_uid))
            for number in os.listdir(f"/proc/{entry}/fd"):
                with suppress(OSError):
                    link = os.readlink(f"/proc/{entry}/fd/{number}")
                    if link.startswith("socket:["):
                        inodes.add(link[8:-1])
    return inodes, accounts
