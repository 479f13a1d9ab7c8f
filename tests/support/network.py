# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL on a network of its own, a namespace behind a pair of virtual interfaces whose cable can be pulled."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from .postgres import Cluster, become_postgres


@dataclass(frozen=True)
class Cable:
    """The way to a server."""

    namespace: str
    #: The interface at the server's end.
    inner: str
    #: The server's address.
    there: str

    def pull(self) -> None:
        """From now on nothing arrives, and nobody is told so."""
        ip("-n", self.namespace, "link", "set", self.inner, "down")

    def plug(self) -> None:
        """As before; waits until something arrives."""
        ip("-n", self.namespace, "link", "set", self.inner, "up")
        until = time.monotonic() + 20
        while True:
            with closing(socket.socket()) as probe:
                probe.settimeout(0.5)
                # Nothing listens there; that somebody says so is enough.
                if probe.connect_ex((self.there, 9)) == errno.ECONNREFUSED:
                    return
            assert time.monotonic() < until, "the network did not come back"
            time.sleep(0.05)


def ip(*arguments: str, check: bool = True) -> None:
    """Run ip(8)."""
    subprocess.run(["ip", *arguments], check=check, capture_output=True, text=True)


def available() -> bool:
    """Whether namespaces can be made here."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "nsenter"))):
        return False
    probe = f"pgc-{secrets.token_hex(3)}"
    made = subprocess.run(["ip", "netns", "add", probe], check=False, capture_output=True).returncode == 0
    if made:
        ip("netns", "del", probe)
    return made


@contextmanager
def far_server() -> Iterator[tuple[Cluster, Cable]]:
    """A server of its own at the other end of a cable, in 198.18.0.0/15, which is meant for tests and routed nowhere."""
    number = secrets.randbelow(1 << 15)
    name = f"pgc-{number:04x}"
    net = f"198.{18 + (number >> 14)}.{number >> 6 & 255}.{(number & 63) << 2}".rpartition(".")
    here, there = (f"{net[0]}.{int(net[2]) + host}" for host in (1, 2))
    outer, inner = f"{name}o", f"{name}i"
    ip("netns", "add", name)
    try:
        ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name)
        ip("addr", "add", f"{here}/30", "dev", outer)
        ip("link", "set", outer, "up")
        ip("-n", name, "addr", "add", f"{there}/30", "dev", inner)
        for device in ("lo", inner):
            ip("-n", name, "link", "set", device, "up")
        user = become_postgres()
        nsenter = ("nsenter", f"--net=/run/netns/{name}", f"--setuid={user['user']}", f"--setgid={user['group']}")
        cluster = Cluster.start(host=there, prefix=nsenter)
        try:
            yield cluster, Cable(name, inner, there)
        finally:
            cluster.stop()
    finally:
        ip("link", "del", outer, check=False)
        ip("netns", "del", name)
