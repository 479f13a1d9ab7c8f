# SPDX-License-Identifier: GPL-3.0-or-later
"""Column defaults that mean the same in PostgreSQL: literals and the current time. Everything else is not carried."""

from __future__ import annotations

import re

from ..codecs import CODECS
from ..errors import Unfit
from .literals import literal

_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
#: How applications write the current time as a call; milliseconds as Django's Now() has them.
_CALLS = (
    (re.compile(r"datetime\(\s*(?:'now'\s*)?\)", re.I), "CURRENT_TIMESTAMP"),
    (re.compile(r"date\(\s*(?:'now'\s*)?\)", re.I), "CURRENT_DATE"),
    (re.compile(r"time\(\s*(?:'now'\s*)?\)", re.I), "CURRENT_TIME"),
    (re.compile(r"(?i:strftime)\(\s*'%Y-%m-%d %H:%M:%f'\s*,\s*(?i:'now')\s*\)"), "MILLISECONDS"),
)
_UTC = "(CURRENT_TIMESTAMP AT TIME ZONE 'UTC')"
_NOW = {
    "CURRENT_TIMESTAMP": {
        "timestamp": _UTC,
        "timestamptz": "CURRENT_TIMESTAMP",
        "text": f"to_char{_UTC[:-1]}, 'YYYY-MM-DD HH24:MI:SS')",
        "varchar": f"to_char{_UTC[:-1]}, 'YYYY-MM-DD HH24:MI:SS')",
        "date": f"{_UTC}::date",
    },
    "CURRENT_DATE": {
        "date": f"{_UTC}::date",
        "text": f"to_char{_UTC[:-1]}, 'YYYY-MM-DD')",
        "varchar": f"to_char{_UTC[:-1]}, 'YYYY-MM-DD')",
    },
    "CURRENT_TIME": {
        "time": f"{_UTC}::time",
        "text": f"to_char{_UTC[:-1]}, 'HH24:MI:SS')",
        "varchar": f"to_char{_UTC[:-1]}, 'HH24:MI:SS')",
    },
    "MILLISECONDS": {
        "timestamp": f"date_trunc('milliseconds', {_UTC[1:-1]})",
        "timestamptz": "date_trunc('milliseconds', CURRENT_TIMESTAMP)",
        "text": f"to_char{_UTC[:-1]}, 'YYYY-MM-DD HH24:MI:SS.MS')",
        "varchar": f"to_char{_UTC[:-1]}, 'YYYY-MM-DD HH24:MI:SS.MS')",
    },
}


def translate(default: str | None, codec: str, type_name: str) -> str | bool | None:
    """The SQL of a default for PostgreSQL, None when there is none, False when it cannot be carried exactly."""
    if default is None or default.strip().upper() == "NULL":
        return None
    text = _unwrapped(default.strip())
    base = type_name.split("(")[0]
    now = next((name for call, name in _CALLS if call.fullmatch(text)), text.upper())
    if now in _NOW:
        return _NOW[now].get(base, False)
    if text.upper() in ("TRUE", "FALSE"):
        text = "1" if text.upper() == "TRUE" else "0"
    value = _value(text, codec)
    if value is None:
        return False
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
