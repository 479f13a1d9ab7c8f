# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON, as jsonb (its value) or json (its text)."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from ..errors import Unfit
from . import jsonscan
from .base import Canonical, Codec, Rules, Stored, Wire, decode, length, unfit
from .jsonscan import DEEPEST, DuplicateKey, number_text, too_deep
from .texts import LONG, check_text

#: From this many bytes on, a document is scanned instead of read: its values would take ten times its size.
_LARGE = 1 << 18
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]')


class _Number(str):
    """A JSON number, kept as its digits."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise DuplicateKey
    return found


def _reject(constant: str) -> Any:
    raise Unfit(f"text is no valid JSON: {constant}")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_float=_Number, parse_int=_Number, parse_constant=_reject, strict=True
)
_LAST = json.JSONDecoder(parse_float=_Number, parse_int=_Number, parse_constant=_reject, strict=True)
_PLAIN = json.JSONDecoder(object_pairs_hook=list, parse_float=_Number, parse_int=_Number, parse_constant=_reject)


def json_text(value: Stored) -> str:
    """The JSON text of a stored value; a bare number may be stored as integer or real, as Prisma does."""
    if type(value) is bytearray:
        check_text(value)
        return decode(value)
    if type(value) is int:
        return str(value)
    if type(value) is float:
        text = repr(value)
        if text in ("inf", "-inf", "nan"):
            raise Unfit("is infinite: no JSON number")
        return text
    raise unfit(value, "JSON text or numbers")


def parse(text: str, decoder: json.JSONDecoder) -> Any:
    """The value of a JSON text. Raises Unfit for invalid JSON, also where Python is laxer than PostgreSQL."""
    stripped = text.strip(" \t\n\r")
    try:
        value, end = decoder.raw_decode(stripped)
    except Unfit:
        raise
    except RecursionError:
        raise too_deep() from None
    except ValueError as error:
        raise Unfit(f"text is no valid JSON: {error}") from None
    if end != len(stripped):
        raise Unfit(f"text is no valid JSON: something follows at character {end}")
    return value


def check_depth(text: str) -> None:
    """Raise Unfit for valid JSON that is nested too deeply."""
    if text.count("[") + text.count("{") <= DEEPEST:
        return
    depth = 0
    for match in _BRACKETS.finditer(text):
        bracket = match.group()
        if bracket in ("[", "{"):
            depth += 1
            if depth > DEEPEST:
                raise too_deep()
        elif bracket in ("]", "}"):
            depth -= 1


def normal_text(value: Any) -> str:
    """JSON as jsonb prints it: keys sorted by length and bytes, one blank after colon and comma."""
    pieces: list[str] = []
    _write(value, pieces)
    return "".join(pieces)


def _write(value: Any, out: list[str], depth: int = 0) -> None:
    if depth == DEEPEST and isinstance(value, (dict, list)):
        raise too_deep()
    if isinstance(value, _Number):
        out.append(number_text(value))
    elif isinstance(value, str):
        out.append(_string(value))
    elif isinstance(value, dict):
        out.append("{")
        for at, key in enumerate(sorted(value, key=_order)):
            out.append((", " if at else "") + _string(key) + ": ")
            _write(value[key], out, depth + 1)
        out.append("}")
    elif isinstance(value, list):
        out.append("[")
        for at, item in enumerate(value):
            if at:
                out.append(", ")
            _write(item, out, depth + 1)
        out.append("]")
    else:
        out.append({None: "null", True: "true", False: "false"}[value])


def _order(key: str) -> tuple[int, bytes]:
    raw = _encoded(key)
    return len(raw), raw


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise Unfit("JSON holds half of a surrogate pair, which PostgreSQL cannot store") from None


def _string(text: str) -> str:
    _encoded(text)
    if "\0" in text:
        raise Unfit("JSON holds \\u0000, which jsonb cannot store")
    # json.dumps escapes exactly what PostgreSQL's escape_json does, except for DEL, which both leave alone.
    return json.dumps(text, ensure_ascii=False)


def _large(value: Stored) -> bytearray | None:
    """Text that is to be scanned, not read; None for anything else. Raises Unfit for what is no text of PostgreSQL."""
    if type(value) is not bytearray or len(value) < _LARGE:
        return None
    check_text(value)
    return value


def _canonical(raw: bytes | bytearray) -> bytes:
    if len(raw) > LONG:
        return b"%d#%b" % (len(raw), hashlib.sha256(raw).hexdigest().encode())
    return b"%d:%b" % (len(raw), bytes(raw))


def _canonical_sql(text: str) -> str:
    size = f"octet_length({text})"
    return (
        f"CASE WHEN {size} > {LONG} THEN concat({size}, '#', encode(sha256(convert_to({text}, 'UTF8')), 'hex')) "
        f"ELSE {size} || ':' || {text} END"
    )


def last_keys(value: Stored) -> Stored:
    """JSON whose objects name a key twice, with the last of each only, as jsonb would keep it; anything else as it is."""
    if type(value) is not bytearray or value.count(b":") < 2:
        return value
    try:
        text = json_text(value)
        try:
            parse(text, _DECODER)
        except DuplicateKey:
            return bytearray(normal_text(parse(text, _LAST)).encode())
    except Unfit:
        pass
    return value


class Jsonb(Codec):
    """Valid JSON without duplicate keys and \\u0000; the value is kept, not its white space and order of keys."""

    name = "jsonb"
    types = ("jsonb",)

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        def field(value: Stored) -> bytes:
            large = _large(value)
            if large is not None:
                jsonscan.normal_form(large)
                return b"".join((length(len(large) + 1), b"\x01", large))
            text = json_text(value)
            # The walk finds what PostgreSQL would refuse: surrogates, \u0000, too many digits.
            normal_text(parse(text, _DECODER))
            raw = text.encode()
            return length(len(raw) + 1) + b"\x01" + raw

        return field

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        def text(value: Stored) -> bytes:
            large = _large(value)
            if large is not None:
                return _canonical(jsonscan.normal_form(large))
            return _canonical(normal_text(parse(json_text(value), _DECODER)).encode())

        return text

    def canonical_sql(self, column: str, type_name: str) -> str:
        return _canonical_sql(f"{column}::text")

    def restore_sql(self, column: str, type_name: str) -> str:
        return f"{column}::text"

    def restore(self, text: str, type_name: str) -> int | float | str:
        return text


class Json(Jsonb):
    """Valid JSON kept as its text, with duplicate keys and order."""

    name = "json"
    types = ("json",)

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        def field(value: Stored) -> bytes:
            large = _large(value)
            if large is not None:
                jsonscan.check(large)
                return length(len(large)) + large
            text = json_text(value)
            parse(text, _PLAIN)
            check_depth(text)
            raw = text.encode()
            return length(len(raw)) + raw

        return field

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        def text(value: Stored) -> bytes:
            large = _large(value)
            return _canonical(json_text(value).encode() if large is None else large)

        return text
