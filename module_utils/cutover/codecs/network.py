# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of hosts, which Django and others keep as text in SQLite and as inet in PostgreSQL."""

from __future__ import annotations

import re
import socket
import struct

from ..errors import Unfit
from .base import Canonical, Codec, Rules, Stored, Wire, decode, length, unfit

#: AF_INET and AF_INET + 1, as PostgreSQL names the families on the wire, and the bits of an address.
_V4, _V6 = (2, 32), (3, 128)
_ZEROS = re.compile(r"(?:^|:)0(?::0)+(?:$|:)")


class Inet(Codec):
    """Addresses of hosts as text, written as PostgreSQL writes them: lower case, IPv6 as short as can be."""

    name = "inet"
    types = ("inet",)

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        def field(value: Stored) -> bytes:
            (family, bits), packed = _address(value)
            # Family, bits of the network, is it a cidr, and how many bytes follow.
            data = struct.pack("BBBB", family, bits, 0, len(packed)) + packed
            return length(len(data)) + data

        return field

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        return lambda value: host(_address(value)[1]).encode()

    def canonical_sql(self, column: str, type_name: str) -> str:
        # An address with the mask of a network, which only PostgreSQL's own clients can have written, shows it.
        whole = f"CASE family({column}) WHEN 4 THEN 32 ELSE 128 END"
        return f"CASE WHEN masklen({column}) = {whole} THEN host({column}) ELSE {column}::text END"

    def restore(self, text: str, type_name: str) -> str:
        return text


def _address(value: Stored) -> tuple[tuple[int, int], bytes]:
    """Family and bytes of an address. Raises Unfit unless PostgreSQL would give the very same text back."""
    if type(value) is not bytearray:
        raise unfit(value, "addresses as text")
    text = decode(value)
    version, family = (_V6, socket.AF_INET6) if ":" in text else (_V4, socket.AF_INET)
    try:
        packed = socket.inet_pton(family, text)
    except (OSError, ValueError):
        raise Unfit("text is no address of a host (IPv4 or IPv6, without a network's mask)") from None
    if host(packed) != text:
        raise Unfit(f"text is an address that PostgreSQL would give back as {host(packed)}")
    return version, packed


def host(packed: bytes) -> str:
    """The text of an address as PostgreSQL's host() writes it."""
    if len(packed) == 4:
        return socket.inet_ntop(socket.AF_INET, packed)
    words = struct.unpack(">8H", packed)
    # Addresses that embed one of IPv4 end with its own form: inet_net_ntop_ipv6() in PostgreSQL's sources.
    if words[:5] == (0,) * 5 and (words[5] == 0xFFFF or (words[5] == 0 and words[6] != 0)):
        return _embedded(packed, words)
    return _shortened(":".join(f"{word:x}" for word in words))


def _embedded(packed: bytes, words: tuple[int, ...]) -> str:
    tail = socket.inet_ntop(socket.AF_INET, packed[12:])
    return f"::ffff:{tail}" if words[5] == 0xFFFF else f"::{tail}"


def _shortened(text: str) -> str:
    """The first of the longest runs of two or more zeros becomes ``::``."""
    runs = sorted(_ZEROS.finditer(text), key=lambda run: -run[0].count("0"))
    return text[: runs[0].start()] + "::" + text[runs[0].end() :] if runs else text
