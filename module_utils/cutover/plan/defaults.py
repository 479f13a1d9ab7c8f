# SPDX-License-Identifier: GPL-3.0-or-later
"""Column defaults that mean the same in PostgreSQL: constants and the current time. Everything else is not carried."""

from __future__ import annotations

import re

from ..codecs import CODECS
from ..errors import Unfit
from .literals import literal
from .now import now
from .translate.compare import instant

_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_BLOB = re.compile(r"[xX]'([0-9a-fA-F]{2})*'")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


def translate(default: str | None, codec: str, type_name: str, constant: str | None = None) -> str | bool | None:
    """The SQL of a default for PostgreSQL, None when there is none, False when it cannot be carried exactly.

    constant: the literal that SQLite computes for a default that is an expression of constants.
    """
    if default is None or "NULL" in (default.strip().upper(), constant):
        return None
    base = type_name.split("(")[0]
    time = now(default, codec, base)
    if time is not None:
        return time
    text = constant or _unwrapped(default.strip())
    if text.upper() in ("TRUE", "FALSE"):
        text = "1" if text.upper() == "TRUE" else "0"
    if _BLOB.fullmatch(text):
        return f"'\\x{text[2:-1].lower()}'::bytea" if codec == "blob" else False
    value = _value(text, codec)
    if value is None:
        return False
    if isinstance(value, int) and codec in ("epoch_s", "epoch_ms", "epoch_us"):
        return instant(codec, base, value) or False
    try:
        CODECS[codec].wire(type_name)(value)
        canonical = CODECS[codec].canonical(type_name)(value).decode()
    except Unfit:
        return False
    if codec == "boolean":
        return "true" if canonical == "1" else "false"
    if codec in ("integer", "decimal"):
        return canonical
    if isinstance(value, bytearray):
        return f"{literal(value.decode())}::{type_name}" if codec != "text" else literal(value.decode())
    return text if codec == "real" else False


def _unwrapped(text: str) -> str:
    while text.startswith("(") and text.endswith(")") and "(" not in text[1:-1] and ")" not in text[1:-1]:
        text = text[1:-1].strip()
    return text


def _value(text: str, codec: str) -> int | float | bytearray | None:
    """A literal as SQLite would store it in the column."""
    if _INTEGER.fullmatch(text):
        # A number as default of a text column is stored as its digits, by TEXT affinity.
        return bytearray(str(int(text)).encode()) if codec == "text" else int(text)
    if _NUMBER.fullmatch(text):
        return None if codec == "text" else float(text)
    for mark in ("'", '"'):
        if len(text) >= 2 and text[0] == text[-1] == mark and mark not in text[1:-1].replace(mark * 2, ""):
            content = text[1:-1].replace(mark * 2, mark)
            if codec in ("integer", "boolean") and _INTEGER.fullmatch(content):
                return int(content)
            return bytearray(content.encode())
    return None
