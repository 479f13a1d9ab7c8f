# SPDX-License-Identifier: GPL-3.0-or-later
"""Other stored forms of what an application's own schema declares: UUIDs without dashes or as bytes, times meant as UTC."""

from __future__ import annotations

import re

from ..errors import Unfit
from .base import Canonical, Codec, Rules, Stored, Wire, decode, length, unfit
from .temporal import IsoTimestamp, shown_sql

_HEX = re.compile(r"[0-9a-f]{32}")


class UuidHex(Codec):
    """UUIDs stored as 32 hexadecimal digits in lower case, as Django and SQLAlchemy do."""

    name = "uuid_hex"
    types = ("uuid",)

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        return lambda value: length(16) + bytes.fromhex(_digits(value))

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        return lambda value: _dashed(_digits(value)).encode()

    def canonical_sql(self, column: str, type_name: str) -> str:
        return column

    def restore(self, text: str, type_name: str) -> str:
        return text.replace("-", "")


def _digits(value: Stored) -> str:
    if type(value) is not bytearray:
        raise unfit(value, "UUIDs as text")
    text = decode(value)
    if not _HEX.fullmatch(text):
        raise Unfit("text is no UUID of 32 hexadecimal digits in lower case")
    return text


def _dashed(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


class UuidBytes(Codec):
    """UUIDs stored as blobs of 16 bytes, in the order of their digits."""

    name = "uuid_bytes"
    types = ("uuid",)

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        return lambda value: length(16) + _sixteen(value)

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        return lambda value: _dashed(_sixteen(value).hex()).encode()

    def canonical_sql(self, column: str, type_name: str) -> str:
        return column

    def restore(self, text: str, type_name: str) -> bytes:
        return bytes.fromhex(text.replace("-", ""))


def _sixteen(value: Stored) -> bytes:
    if type(value) is not bytes:
        raise unfit(value, "UUIDs as blobs")
    if len(value) != 16:
        raise Unfit(f"is a blob of {len(value)} bytes, a UUID has 16")
    return value


class UtcTimestamp(IsoTimestamp):
    """ISO text without a zone that means UTC, as Django and Rails store it, for a column that keeps instants."""

    name = "utc_timestamp"
    types = ("timestamptz",)

    def canonical_sql(self, column: str, type_name: str) -> str:
        return shown_sql(column, f"{column} AT TIME ZONE 'UTC'", "YYYY-MM-DD HH24:MI:SS.US")
