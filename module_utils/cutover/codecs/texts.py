# SPDX-License-Identifier: GPL-3.0-or-later
"""Text, blobs and UUIDs."""

from __future__ import annotations

import codecs
import hashlib
import re

from ..errors import Unfit
from .base import Canonical, Codec, Rules, Stored, Touched, Wire, decode, length, modifiers, unfit

#: From this many bytes on, the canonical text of a value is its length and SHA-256, so that rows stay small.
LONG = 8192
#: From this many bytes on, text is checked in slices: a decoded copy can be four times as large.
_SLICED = 1 << 20
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def check_text(value: bytearray) -> None:
    """Raise Unfit unless PostgreSQL can hold the text: valid UTF-8 without NUL."""
    if b"\0" in value:
        raise Unfit("text holds a NUL character, which PostgreSQL cannot store in text")
    if value.isascii():
        return
    if len(value) < _SLICED:
        decode(value)
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(value)
    at = 0
    try:
        for at in range(0, len(value), _SLICED):
            decoder.decode(view[at : at + _SLICED])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise Unfit(f"text is not valid UTF-8 after byte {at}: PostgreSQL cannot hold it as text") from None


def characters(value: bytearray) -> int:
    """The number of characters of valid UTF-8, without decoding it: all bytes but the continuation bytes."""
    if value.isascii():
        return len(value)
    return len(value.translate(None, _CONTINUATION))


_CONTINUATION = bytes(range(0x80, 0xC0))


def as_text(value: Stored) -> bytearray:
    """The rule ``as_text``: numbers become their shortest exact text, text stays as it is."""
    if type(value) is int:
        return bytearray(b"%d" % value)
    if type(value) is float:
        return bytearray(repr(value).encode())
    if type(value) is bytearray:
        return value
    raise unfit(value, "text or numbers")


class Text(Codec):
    """Text in valid UTF-8 without NUL."""

    name = "text"
    types = ("text", "varchar")
    rules = {"as_text": "integers and reals among the text are written as their shortest exact text"}

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        limit = (modifiers(type_name) or (0,))[0]
        convert = "as_text" in rules

        def field(value: Stored) -> bytes:
            if convert:
                value = as_text(value)
            if type(value) is not bytearray:
                raise unfit(value, "text")
            check_text(value)
            # varchar(n) counts characters; a text of n bytes or less has no more than n characters.
            if limit and len(value) > limit and (count := characters(value)) > limit:
                raise Unfit(f"has {count} characters, more than {type_name} holds")
            return length(len(value)) + value

        return field

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        convert = "as_text" in rules

        def text(value: Stored) -> bytes:
            if convert:
                value = as_text(value)
            if type(value) is not bytearray:
                raise unfit(value, "text")
            if len(value) > LONG:
                return b"%d#%b" % (len(value), hashlib.sha256(value).hexdigest().encode())
            return b"%d:" % len(value) + value

        return text

    def canonical_sql(self, column: str, type_name: str) -> str:
        size = f"octet_length({column})"
        return (
            f"CASE WHEN {size} > {LONG} THEN concat({size}, '#', encode(sha256(convert_to({column}, 'UTF8')), 'hex')) "
            f"ELSE {size} || ':' || {column} END"
        )

    def restore_sql(self, column: str, type_name: str) -> str:
        return column

    def restore(self, text: str, type_name: str) -> str:
        return text

    def touched(self, type_name: str, rules: Rules) -> Touched:
        return lambda value: () if type(value) is bytearray else rules


class Blob(Codec):
    """Bytes."""

    name = "blob"
    types = ("bytea",)
    rules = {"text_as_bytes": "text among the blobs is kept as its UTF-8 bytes"}

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        accepted = (bytes, bytearray) if "text_as_bytes" in rules else (bytes,)

        def field(value: Stored) -> bytes:
            if type(value) not in accepted:
                raise unfit(value, "blobs")
            assert isinstance(value, (bytes, bytearray))
            return length(len(value)) + value

        return field

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        def text(value: Stored) -> bytes:
            if type(value) is bytes or ("text_as_bytes" in rules and type(value) is bytearray):
                return b"%d#%b" % (len(value), hashlib.sha256(value).hexdigest().encode())
            raise unfit(value, "blobs")

        return text

    def canonical_sql(self, column: str, type_name: str) -> str:
        return f"octet_length({column}) || '#' || encode(sha256({column}), 'hex')"

    def restore_sql(self, column: str, type_name: str) -> str:
        return f"encode({column}, 'hex')"

    def restore(self, text: str, type_name: str) -> bytes:
        return bytes.fromhex(text)

    def touched(self, type_name: str, rules: Rules) -> Touched:
        return lambda value: () if type(value) is bytes else rules


class Uuid(Codec):
    """UUIDs stored as text in their canonical form: lower case with dashes."""

    name = "uuid"
    types = ("uuid",)

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        def field(value: Stored) -> bytes:
            return length(16) + bytes.fromhex(_uuid_text(value).replace("-", ""))

        return field

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        return lambda value: _uuid_text(value).encode()

    def canonical_sql(self, column: str, type_name: str) -> str:
        return column

    def restore(self, text: str, type_name: str) -> str:
        return text


def _uuid_text(value: Stored) -> str:
    if type(value) is not bytearray:
        raise unfit(value, "UUIDs as text")
    text = decode(value)
    if not _UUID.fullmatch(text):
        raise Unfit("text is no UUID in lower case with dashes")
    return text
