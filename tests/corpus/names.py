# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that are words of SQL, too long, equal but for case, or PostgreSQL's own; and very wide tables."""

from __future__ import annotations

from corpus.case import Case, one, quoted

_INT = "integer"
_LONG = "t" * 63
_TOO_LONG = "é" * 32
_WIDE = [f"column {number}" for number in range(1000)]


def _plain(name: str, columns: list[str], **more: object) -> Case:
    """A case of one table with columns of integers, one row of 1, 2, 3, …"""
    sql = f"CREATE TABLE {quoted(name)} ({', '.join(f'{quoted(c)} INT' for c in columns)})"
    rows = [tuple(range(1, len(columns) + 1)), (None,) * len(columns)]
    return Case(name, sql, rows, reads={name: dict.fromkeys(columns, _INT)}, **more)  # type: ignore[arg-type]


WORDS = [
    _plain(name, ["user", "order", "select", "group", "table", "primary", "oid", "rowid", "row", "ordered", "digest", "value", "n"])
    for name in ("user", "order", "group", "all", "analyse", "pg_class", "information_schema.tables")
]  # fmt: skip

SIGNS = [
    _plain(
        'a "quoted" name',
        ['"', "'", "`", "]", "[", ";", "--", "/*", "%s", "%", "100%", "{}", "$1", "a.b", "\\", " ", "tab\there", "line\nfeed", "名前", "🐘", "é", "e\u0301", "(", ")", "=", "?", ":n", "@"],
    ),
    _plain("100% {of} $1 ; -- it's", ["v"]),
    _plain("Mixed Case", ["MixedCase", "lower", "UPPER", "Äpfel", "äpfel"]),
    _plain("ÄPFEL", ["v"]),
    _plain("äpfel", ["v"]),
    _plain(_LONG, ["c" * 63, "é" * 31 + "x"]),
]  # fmt: skip

RENAMED = [
    _plain(_TOO_LONG, ["v"], renamed={_TOO_LONG: "é" * 31}),
    _plain(
        "names that become one when cut",
        ["c" * 63 + "a", "c" * 63 + "b", "v"],
        renamed={"c" * 63 + "a": "c" * 63, "c" * 63 + "b": "c" * 61 + "_1"},
    ),
    _plain(
        "system columns",
        ["ctid", "xmin", "tableoid", "XMAX", "xmin_"],
        renamed={"ctid": "ctid_", "xmin": "xmin__1", "tableoid": "tableoid_"},
    ),
]  # fmt: skip

WIDE = [
    one("a thousand columns", {name: ("TEXT" if number % 2 else "INT", "text" if number % 2 else _INT) for number, name in enumerate(_WIDE)},
        [tuple(f"é{number}" if number % 2 else number for number in range(1000)), (None,) * 1000]),
]  # fmt: skip

CASES = [*WORDS, *SIGNS, *RENAMED, *WIDE]
