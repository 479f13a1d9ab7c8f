# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON documents of many megabytes: checked and brought into jsonb's normal form without building their values.

A value of Python for each number of a large document would need ten times its size. Here the tokens are looked at one
by one, and the normal form grows in one buffer.
Source: RFC 8259; src/common/jsonapi.c and src/backend/utils/adt/jsonb.c of PostgreSQL.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Union

from ..errors import Unfit

#: Deeper nesting is refused: far more than people write, far less than what ends PostgreSQL's or Python's stack.
DEEPEST = 500

_BLANK = re.compile(rb"[ \t\n\r]*")
_ATOM = re.compile(rb"(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)|true|false|null")
_SHORT = re.compile(rb"-?[1-9][0-9]{0,17}|0")
_CONTROL = re.compile(rb"[\x00-\x1f]")
_ESCAPE = re.compile(
    rb"[^\\]+|\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|\\u([0-9a-fA-F]{4})|\\(.)", re.DOTALL
)
_SIMPLE = {b"b": "\b", b"f": "\f", b"n": "\n", b"r": "\r", b"t": "\t", b'"': '"', b"\\": "\\", b"/": "/"}
_SHOWN = {"\b": b"\\b", "\f": b"\\f", "\n": b"\\n", "\r": b"\\r", "\t": b"\\t", '"': b'\\"', "\\": b"\\\\"}

Raw = Union[bytes, bytearray]


class DuplicateKey(Unfit):
    """An object names a key twice; jsonb would keep only the last."""

    def __init__(self) -> None:
        super().__init__("JSON object has a key twice, of which jsonb keeps only the last")


def invalid(at: int) -> Unfit:
    """The refusal of text that is no JSON, at a byte counted from 0."""
    return Unfit(f"text is no valid JSON at byte {at}")


def too_deep() -> Unfit:
    """The refusal of JSON that is nested too deeply."""
    return Unfit(f"JSON is nested more than {DEEPEST} deep")


def number_text(digits: str) -> str:
    """A JSON number as numeric prints it: without exponent, its scale kept, no negative zero. Raises Unfit."""
    try:
        number = Decimal(digits)
    except InvalidOperation:
        raise Unfit("JSON number has more digits than numeric holds") from None
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and (exponent < -16383 or number.adjusted() > 131071):
        raise Unfit("JSON number has more digits than numeric holds")
    text = format(number, "f")
    return text[1:] if number.is_zero() and text.startswith("-") else text


class _Object:
    """An open object: where its members begin in the buffer, and whether their keys came in jsonb's order."""

    __slots__ = ("last", "members", "sorted")

    def __init__(self) -> None:
        self.members: list[int] = []
        self.last: tuple[int, bytes] | None = None
        self.sorted = True

    def add(self, at: int, key: bytes) -> None:
        self.members.append(at)
        order = len(key), key
        if self.last is not None and order <= self.last:
            self.sorted = False
        self.last = order


class _Scanner:
    """One document. normal: also write jsonb's normal form, and refuse what jsonb cannot hold."""

    def __init__(self, raw: Raw, normal: bool) -> None:
        self.raw = raw
        self.normal = normal
        self.at = 0
        self.out = bytearray()
        #: True from an opening bracket to the first member.
        self.first = False
        self.stack: list[_Object | None] = []

    def run(self) -> bytearray:
        """Scan the whole document. Raises Unfit."""
        self._blank()
        self._value()
        while self.stack:
            self._next_member()
        self._blank()
        if self.at != len(self.raw):
            raise invalid(self.at)
        return self.out

    def _blank(self) -> int:
        """Skip white space; the byte that follows, -1 at the end."""
        found = _BLANK.match(self.raw, self.at)
        assert found is not None
        self.at = found.end()
        return self.raw[self.at] if self.at < len(self.raw) else -1

    def _value(self) -> None:
        """The value that begins here: an atom whole, of an array or object the first bracket."""
        byte = self.raw[self.at] if self.at < len(self.raw) else -1
        if byte == 0x22:
            if self.normal:
                self._string(self.out)
            else:
                self._string(None)
        elif byte in (0x5B, 0x7B):
            if len(self.stack) == DEEPEST:
                raise too_deep()
            self.stack.append(_Object() if byte == 0x7B else None)
            self.at += 1
            self._write(b"[" if byte == 0x5B else b"{")
            self.first = True
        else:
            self._atom()

    def _next_member(self) -> None:
        """What follows in the innermost open array or object: a member, or its end."""
        opened, first = self.stack[-1], self.first
        self.first = False
        byte = self._blank()
        if byte == (0x5D if opened is None else 0x7D):
            self._close()
        elif first:
            self._member()
        elif byte == 0x2C:
            self.at += 1
            self._blank()
            self._write(b", ")
            self._member()
        else:
            raise invalid(self.at)

    def _member(self) -> None:
        opened = self.stack[-1]
        if opened is not None:
            if self.at >= len(self.raw) or self.raw[self.at] != 0x22:
                raise invalid(self.at)
            began = len(self.out)
            if self.normal:
                key = bytearray()
                self._string(self.out, key)
                opened.add(began, bytes(key))
            else:
                self._string(None)
            if self._blank() != 0x3A:
                raise invalid(self.at)
            self.at += 1
            self._blank()
            self._write(b": ")
        self._value()

    def _write(self, text: bytes) -> None:
        if self.normal:
            self.out += text

    def _close(self) -> None:
        opened = self.stack.pop()
        self.at += 1
        if opened is not None and not opened.sorted:
            _reorder(self.out, opened.members)
        self._write(b"]" if opened is None else b"}")

    def _atom(self) -> None:
        found = _ATOM.match(self.raw, self.at)
        if found is None:
            raise invalid(self.at)
        self.at = found.end()
        text = found.group()
        if found.group(1) is not None and self.normal and not _SHORT.fullmatch(text):
            text = number_text(text.decode()).encode()
        self._write(text)

    def _string(self, out: bytearray | None, key: bytearray | None = None) -> None:
        """A string: to ``out`` in quotes as PostgreSQL prints it, to ``key`` without quotes and escapes."""
        begin = self.at + 1
        end = self._string_end(begin)
        control = _CONTROL.search(self.raw, begin, end)
        if control:
            raise invalid(control.start())
        self.at = end + 1
        if self.raw.find(b"\\", begin, end) < 0:
            view = memoryview(self.raw)[begin:end]
            if out is not None:
                out += b'"'
                out += view
                out += b'"'
            if key is not None:
                key += view
            return
        if out is not None:
            out += b'"'
        self._unescape(begin, end, out, key)
        if out is not None:
            out += b'"'

    def _string_end(self, begin: int) -> int:
        """Where the closing quote is: one with an even number of backslashes before it."""
        at = begin
        while True:
            end = self.raw.find(b'"', at)
            if end < 0:
                raise invalid(len(self.raw))
            before = end
            while before > begin and self.raw[before - 1] == 0x5C:
                before -= 1
            if (end - before) % 2 == 0:
                return end
            at = end + 1

    def _unescape(self, begin: int, end: int, out: bytearray | None, key: bytearray | None) -> None:
        at = begin
        while at < end:
            found = _ESCAPE.match(self.raw, at, end)
            if found is None:
                raise invalid(at)
            high, low, single, simple = found.groups()
            if single is None and simple is None and high is None:
                view = memoryview(self.raw)[at : found.end()]
                if out is not None:
                    out += view
                if key is not None:
                    key += view
                at = found.end()
                continue
            if high is not None:
                text = chr(0x10000 + ((int(high, 16) & 0x3FF) << 10) + (int(low, 16) & 0x3FF))
            elif single is not None:
                text = chr(int(single, 16))
            elif simple in _SIMPLE:
                text = _SIMPLE[simple]
            else:
                raise invalid(at)
            if self.normal:
                _refuse(text)
            if out is not None:
                out += _SHOWN.get(text) or (b"\\u%04x" % ord(text) if text < " " else text.encode())
            if key is not None:
                key += text.encode()
            at = found.end()


def _refuse(text: str) -> None:
    if text == "\0":
        raise Unfit("JSON holds \\u0000, which jsonb cannot store")
    if "\ud800" <= text <= "\udfff":
        raise Unfit("JSON holds half of a surrogate pair, which PostgreSQL cannot store")


def _reorder(out: bytearray, members: list[int]) -> None:
    """Bring the members of the object that ends the buffer into jsonb's order: by length of the key, then its bytes."""
    begin = members[0]
    ends = [at - 2 for at in members[1:]] + [len(out)]
    parts = sorted((_key(out, at), at, end) for at, end in zip(members, ends))
    for (key, _, _), (following, _, _) in zip(parts, parts[1:]):
        if key == following:
            raise DuplicateKey
    whole = bytearray()
    for _, at, end in parts:
        whole += b", " if whole else b""
        whole += memoryview(out)[at:end]
    out[begin:] = whole


def _key(out: bytearray, at: int) -> tuple[int, bytes]:
    """The key of the member at ``at``, as it sorts."""
    scanner = _Scanner(out, True)
    scanner.at = at
    key = bytearray()
    scanner._string(None, key)
    return len(key), bytes(key)


def normal_form(raw: Raw) -> bytearray:
    """A document as jsonb prints it: keys sorted by length and bytes, one blank after colon and comma.

    raw: valid UTF-8. Raises Unfit for invalid JSON and for what jsonb cannot hold.
    """
    return _Scanner(raw, True).run()


def check(raw: Raw) -> None:
    """Raise Unfit unless ``raw`` (valid UTF-8) is JSON that PostgreSQL's json takes."""
    _Scanner(raw, False).run()
