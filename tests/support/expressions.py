# SPDX-License-Identifier: GPL-3.0-or-later
"""Random expressions of SQLite over one table, and that table's rows: what the translator is tried with."""

from __future__ import annotations

from hypothesis import strategies as st

SCHEMA = """
CREATE TABLE t (k INTEGER PRIMARY KEY, i INTEGER, j INT, b BOOLEAN, r REAL, s TEXT, n TEXT COLLATE NOCASE,
                d DATE, e DATETIME, m DECIMAL(10,2), u UUID, x BLOB, v, w DATETIME, y DATETIME, z DATETIME);
"""
_INTEGERS = (None, 0, 1, -1, 2, 7, -8, 100, 12345)
_TEXTS = (None, "", "a", "A", "ab", "aB", "a_b", "10", "1", "é", "É", " a ", "a%", "abc.x", "Z", "_", "[x]", "^", "\\")
_DAYS = (None, "2024-01-31", "1999-12-31", "2024-02-29")
_INSTANTS = (None, 1_700_000_000_000, 1_700_000_000_001, 1_600_000_000_123)
_REALS = (None, 0.0, -0.0, 0.5, 1.0, -2.25, 1e10, 0.1)
_DECIMALS = (None, 0, 1, 0.1, 19.99, -3.5, 100)
_UUIDS = (None, "6f9619ff-8b86-d011-b42d-00cf4fc964ff", "00000000-0000-0000-0000-000000000000")
_BLOBS = (None, b"", b"\x00", b"ab", b"\xff")
_MOMENTS = (None, "2024-01-31 10:00:00", "1999-12-31 23:59:59", "2024-01-31 10:00:01", "2024-02-01 00:00:00")
_FORMS = (None, "2024-01-31 10:00", "2024-01-31 10:00:00", "2024-01-31 10:00:00.000000", "2024-01-31T10:00:00")
ROWS = [
    (
        at,
        _INTEGERS[at % len(_INTEGERS)],
        _INTEGERS[at * 5 % len(_INTEGERS)],
        (None, 0, 1)[at % 3],
        _REALS[at % len(_REALS)],
        _TEXTS[at % len(_TEXTS)],
        _TEXTS[at * 7 % len(_TEXTS)],
        _DAYS[at % len(_DAYS)],
        _INSTANTS[at * 3 % len(_INSTANTS)],
        _DECIMALS[at % len(_DECIMALS)],
        _UUIDS[at % len(_UUIDS)],
        _BLOBS[at % len(_BLOBS)],
        _TEXTS[at * 3 % len(_TEXTS)],
        _MOMENTS[at % len(_MOMENTS)],
        _MOMENTS[at * 5 % len(_MOMENTS)],
        _FORMS[at % len(_FORMS)],
    )
    for at in range(1, 58)
]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


_number = st.one_of(
    st.sampled_from(
        ["i", "j", "b", "k", "t.i", '"j"', "NULL", "TRUE", "false", "0", "1", "-1", "2", "10", "1.0", "0x10"]
    )
)
_text = st.one_of(
    st.sampled_from(["s", "n", "v", "u", "T.S", '"s"', '"a"', "NULL"]),
    st.sampled_from([t for t in _TEXTS if t is not None]).map(_quoted),
)
_other = st.sampled_from(
    [
        "r",
        "d",
        "e",
        "m",
        "x",
        "0.5",
        "19.99",
        "-3.5",
        "1e3",
        "1700000000000",
        "'2024-01-31'",
        "x'6162'",
        "'1'",
        "2",
        "w",
        "y",
        "z",
        "w",
        "y",
        "'2024-01-31 10:00:00'",
        "'2024-01-31 10:00'",
        "'2024-01-31T10:00:00'",
    ]
)
_compared = st.sampled_from(["=", "==", "<>", "!=", "<", "<=", ">", ">=", "IS", "IS NOT", "IS DISTINCT FROM"])
_patterns = st.sampled_from(
    [
        "a%",
        "A_",
        "%",
        "",
        "a\\%",
        "É",
        "_",
        "%B%",
        "*",
        "a*",
        "[a-c]*",
        "[^a]?",
        "*[0-9]*",
        "[]x]*",
        "?",
        "[^]]",
        "a.b",
        "[x",
    ]
).map(_quoted)


def _joined(parts: tuple[str, ...]) -> str:
    return " ".join(parts)


def _in_parentheses(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Now and then without, so that the order of binding is tried as well."""
    return st.tuples(inner, st.integers(0, 3)).map(lambda pair: f"({pair[0]})" if pair[1] else pair[0])


def _numbers(inner: st.SearchStrategy[str], texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    part = _in_parentheses(inner)
    return st.one_of(
        st.tuples(part, st.sampled_from(["+", "-", "*", "/", "%", "||"]), part).map(_joined),
        part.map(lambda a: f"- {a}"),
        inner.map(lambda a: f"abs({a})"),
        texts.map(lambda a: f"length({a})"),
        st.tuples(texts, texts).map(lambda p: f"instr({p[0]}, {p[1]})"),
        st.tuples(inner, inner).map(lambda p: f"coalesce({p[0]}, {p[1]})"),
        st.tuples(inner, inner).map(lambda p: f"nullif({p[0]}, {p[1]})"),
        st.tuples(inner, inner).map(lambda p: f"max({p[0]}, {p[1]})"),
        inner.map(lambda a: f"CAST({a} AS INTEGER)"),
    )


def _texts(inner: st.SearchStrategy[str], numbers: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    part = _in_parentheses(inner)
    return st.one_of(
        st.tuples(part, part).map(lambda p: f"{p[0]} || {p[1]}"),
        st.tuples(st.sampled_from(["lower", "upper", "trim", "ltrim", "rtrim"]), inner).map(
            lambda p: f"{p[0]}({p[1]})"
        ),
        st.tuples(inner, st.integers(-2, 4), st.integers(-1, 3)).map(lambda p: f"substr({p[0]}, {p[1]}, {p[2]})"),
        st.tuples(inner, inner, inner).map(lambda p: f"replace({p[0]}, {p[1]}, {p[2]})"),
        st.tuples(inner, inner).map(lambda p: f"ifnull({p[0]}, {p[1]})"),
        st.tuples(inner, inner).map(lambda p: f"nullif({p[0]}, {p[1]})"),
        st.tuples(inner, inner).map(lambda p: f"trim({p[0]}, {p[1]})"),
        st.tuples(part, st.sampled_from(["NOCASE", "BINARY"])).map(lambda p: f"{p[0]} COLLATE {p[1]}"),
        st.one_of(inner, numbers).map(lambda a: f"CAST({a} AS TEXT)"),
        st.sampled_from(["s", "i", "r", "d", "e", "x", "u"]).map(lambda a: f"typeof({a})"),
    )


numbers = st.recursive(_number, lambda inner: _numbers(inner, _text), max_leaves=5)
texts = st.recursive(_text, lambda inner: _texts(inner, _number), max_leaves=4)
_any = st.one_of(numbers, texts, _other)


def _simple() -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(_in_parentheses(numbers), _compared, _in_parentheses(numbers)).map(_joined),
        st.tuples(_in_parentheses(texts), _compared, _in_parentheses(texts)).map(_joined),
        st.tuples(_in_parentheses(_any), _compared, _in_parentheses(_any)).map(_joined),
        st.tuples(_in_parentheses(_other), _compared, _in_parentheses(_other)).map(_joined),
        st.tuples(_in_parentheses(_any), st.sampled_from(["IS NULL", "NOTNULL", "IS NOT NULL", "ISNULL"])).map(_joined),
        st.tuples(_in_parentheses(texts), st.sampled_from(["LIKE", "NOT LIKE", "GLOB", "NOT GLOB"]), _patterns).map(
            _joined
        ),
        st.tuples(texts, _patterns).map(lambda p: f"{p[0]} LIKE {p[1]} ESCAPE '\\'"),
        st.tuples(
            _any, st.sampled_from(["IN", "NOT IN"]), st.lists(st.one_of(_number, _text, _other), min_size=1, max_size=3)
        ).map(lambda p: f"{p[0]} {p[1]} ({', '.join(p[2])})"),
        st.tuples(_any, st.sampled_from(["BETWEEN", "NOT BETWEEN"]), _any, _any).map(
            lambda p: f"{p[0]} {p[1]} {p[2]} AND {p[3]}"
        ),
        st.tuples(_in_parentheses(numbers), st.sampled_from(["IS TRUE", "IS NOT TRUE", "IS FALSE"])).map(_joined),
        numbers,
    )


def _conditions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    part = _in_parentheses(inner)
    return st.one_of(
        st.tuples(part, st.sampled_from(["AND", "OR"]), part).map(_joined),
        part.map(lambda a: f"NOT {a}"),
        st.tuples(part, _compared, part).map(_joined),
        st.tuples(inner, numbers, numbers).map(lambda p: f"CASE WHEN {p[0]} THEN {p[1]} ELSE {p[2]} END"),
        st.tuples(_any, _any, inner).map(lambda p: f"CASE {p[0]} WHEN {p[1]} THEN {p[2]} END"),
        st.tuples(inner, inner, inner).map(lambda p: f"iif({p[0]}, {p[1]}, {p[2]})"),
        part.map(lambda a: f"{a} IS NOT NULL"),
    )


conditions = st.recursive(_simple(), _conditions, max_leaves=3)
