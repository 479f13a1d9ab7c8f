# SPDX-License-Identifier: GPL-3.0-or-later
"""Integer keys that become UUIDs: RFC 4122 version 5, from the namespace of a table and the decimal text of the key."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from ..errors import Unfit
from .base import Canonical, Codec, Rules, Stored, Wire, length, unfit

_DIGITS = re.compile(rb"0|-?[1-9]\d{0,18}")
_LEAST, _MOST = -(2**63), 2**63 - 1
#: Values remembered a column: most tables refer to the same few rows again and again.
REMEMBERED = 16_384
# As numbers, because one operation on 160 bits is faster than cutting bytes: the length field, version and variant.
_KEEP = (1 << 128) - 1 - (0xF << 76) - (3 << 62)
_SET = (16 << 128) | (5 << 76) | (2 << 62)
_VERSIONS = bytes(byte & 0x0F | 0x50 for byte in range(256))
_VARIANTS = bytes(byte & 0x3F | 0x80 for byte in range(256))
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


#: By namespace, the integers that rows made in PostgreSQL were given on the way back, with the UUIDs that they have there:
#: these do not follow from the integer. Filled by ``idmap.load_given``.
GIVEN: dict[UUID, dict[int, str]] = {}


def _hashed(namespace: UUID) -> Any:
    """SHA-1 that has taken in the namespace; copies of it take in a key."""
    return hashlib.sha1(namespace.bytes, usedforsecurity=False)


class Fields(dict[int, bytes]):
    """The field of binary COPY of each integer, made when it is asked for first."""

    def __init__(self, namespace: UUID, as_text: bool) -> None:
        super().__init__()
        self._namespace = namespace.bytes
        self._prefix = _hashed(namespace)
        self._as_text = as_text
        self._given = GIVEN.setdefault(namespace, {})

    def _field(self, text: str) -> bytes:
        """The field of a UUID as PostgreSQL has it."""
        raw = text.encode() if self._as_text else UUID(text).bytes
        return length(len(raw)) + raw

    def __missing__(self, value: int) -> bytes:
        if value in self._given:
            # Not remembered: there are few.
            return self._field(self._given[value])
        state = self._prefix.copy()
        state.update(b"%d" % value)
        whole = (int.from_bytes(state.digest()[:16], "big") & _KEEP) | _SET
        field = whole.to_bytes(20, "big")
        if self._as_text:
            field = length(36) + str(UUID(bytes=field[4:])).encode()
        if len(self) >= REMEMBERED:
            self.clear()
        self[value] = field
        return field

    def fill(self, numbers: Sequence[int]) -> None:
        """Make the fields of many integers at once, in place of all that are remembered."""
        self.clear()
        if self._as_text:
            for number in numbers:
                self[number]
            return
        prefix, sha1 = self._namespace, hashlib.sha1
        whole = bytearray(b"".join([sha1(b"%b%d" % (prefix, n), usedforsecurity=False).digest() for n in numbers]))
        # Byte by byte of all digests, which costs less than digest by digest.
        whole[6::20] = whole[6::20].translate(_VERSIONS)
        whole[8::20] = whole[8::20].translate(_VARIANTS)
        fields = bytearray(length(16) + bytes(16)) * len(numbers)
        for at in range(16):
            fields[4 + at :: 20] = whole[at::20]
        self.update(zip(numbers, [field for (field,) in struct.iter_unpack("20s", fields)]))
        if self._given:
            self.update((n, self._field(self._given[n])) for n in numbers if n in self._given)


class UuidKey(Codec):
    """Integers of up to 64 bits as UUIDs of the table whose key they are.

    namespace: of that table. of_text: the column keeps numbers as their digits (TEXT affinity), so that is what it takes.
    The integer does not follow from the UUID: the way back looks it up in the migration's map (see ``idmap``).
    """

    name = "uuid_key"
    types = ("uuid", "text")

    def __init__(self, namespace: UUID, of_text: bool = False) -> None:
        self._namespace = namespace
        self.of_text = of_text
        #: Integers whose UUIDs do not follow from them.
        self.given = GIVEN.setdefault(namespace, {})

    def hashed(self) -> Any:
        """SHA-1 that has taken in the table's namespace."""
        return _hashed(self._namespace)

    def fields(self, type_name: str) -> Fields:
        """The fields of 64-bit integers by the integer, for the packer."""
        return Fields(self._namespace, type_name == "text")

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        fields, number = self.fields(type_name), self._number
        return lambda value: fields[number(value)]

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        # From the hexadecimal digits, apart from the arithmetic of ``fields``.
        prefix, sha1, variant, given = self._namespace.bytes, hashlib.sha1, _VARIANT, self.given

        def text(value: Stored) -> bytes:
            number = self._number(value)
            if number in given:
                return given[number].encode()
            h = sha1(prefix + b"%d" % number, usedforsecurity=False).hexdigest()
            return f"{h[:8]}-{h[8:12]}-5{h[13:16]}-{variant[h[16]]}{h[17:20]}-{h[20:32]}".encode()

        return text

    def canonical_sql(self, column: str, type_name: str) -> str:
        return column

    def restore(self, text: str, type_name: str) -> int | str:
        """The key as SQLite stores it, from its digits as ``idmap.restore_sql`` reads them."""
        return text if self.of_text else int(text)

    def _number(self, value: Stored) -> int:
        if self.of_text:
            if type(value) is not bytearray:
                raise unfit(value, "the digits of integer keys as text")
            if not _DIGITS.fullmatch(value):
                raise Unfit("text is no integer key")
            value = int(value)
        if type(value) is not int:
            raise unfit(value, "integer keys")
        if not _LEAST <= value <= _MOST:
            raise Unfit("is outside the range of 64 bits")
        return value
