# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers, booleans, text, bytes, JSON and UUIDs."""

from __future__ import annotations

from decimal import Decimal

from corpus.case import ANY, Case, Refusal, column, one

_INF = float("inf")
_AS_TEXT = {"codec": "text", "type": "text", "rule": "as_text"}
_AS_BYTES = {"codec": "blob", "type": "bytea", "rule": "text_as_bytes"}
_TEXT = {"codec": "text", "type": "text"}
_JSON = {"codec": "json", "type": "json"}
_NUMERIC = {"codec": "decimal", "type": "numeric"}
_UUID = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"

#: Everything that breaks COPY's text format, or that a careless quote would.
AWKWARD = [
    "", " ", "\t", "\n", "\r", "\r\n", "\v\f", "\\", "\\\\", "\\N", "\\.", "\n\\.\n", "\\t", "\\x41", "\\000", "\\", "a\\", "NULL", "null",
    "'", "''", '"', "$$", "$1", "%", "%s", "%%", "{}", "{NULL}", ";", "--", "/*", "|", ",", "a|b\n", "\x01", "\x1f", "\x7f", "\x80", "\x85", "\xa0",
    "\u2028", "\ufeff", "\ufeffbom", "\uffff", "\ufffe", "\ufffd", "é", "e\u0301", "ß", "İ", "名前", "🐘", "👨\u200d👩\u200d👧", "\U0010ffff", "שלום", "x" * 10_000,
]  # fmt: skip


def _bits(value: float) -> str:
    return f"float8send({value!r}::float8)"


NUMBERS = [
    one(
        "integers at the limits of 64 bits",
        {"a": ("BIGINT", "integer"), "b": ("", "integer"), "c": ("INTEGER", "integer")},
        [(v, v, v) for v in (2**63 - 1, -(2**63), 2**53 + 1, -(2**53) - 1, 2**31, -(2**31) - 1, 2**15, 0, -1)],
        types={"a": "bigint", "b": "bigint", "c": "bigint"},
    ),
    one(
        "integers wider than the type that the plan names",
        {"v": ("INT", "integer")},
        [(2**31 - 1,), (2**31,), (-(2**31) - 1,)],
        decided=column("v", codec="integer", type="integer"),
        refused=[Refusal("v", "is outside the range of integer", {"codec": "integer", "type": "bigint"}, count=2)],
    ),
    one(
        "reals bit by bit",
        {"a": ("REAL", "real"), "b": ("DOUBLE PRECISION", "real"), "c": ("", "real")},
        [(v, v, v) for v in (0.1, 1 / 3, -0.0, 5e-324, -5e-324, 2.2250738585072014e-308, 2.225073858507201e-308, 1.7976931348623157e308,
                             -1.7976931348623157e308, _INF, -_INF, 1e22, 123456789.12345679, 9007199254740993.0, 1.0, 4.9e-5)],
        types={"a": "double precision", "b": "double precision", "c": "double precision"},
        holds=[
            ("SELECT a::text, c::text FROM {t} WHERE n = 4", [("5e-324", "5e-324")]),
            # Where no affinity turns it into the integer 0, the sign of zero is there.
            ("SELECT encode(float8send(c), 'hex') FROM {t} WHERE n = 3", [("8000000000000000",)]),
        ],
    ),
    one(
        "NaN, which SQLite stores as NULL",
        {"a": ("REAL", "real"), "b": ("", "text")},
        [(float("nan"), float("nan"))],
        holds=[("SELECT a IS NULL, b IS NULL FROM {t}", [(True, True)])],
    ),
    one(
        "integers beyond 53 bits among reals",
        {"v": ("", "decimal")},
        [(2**53 + 1,), (0.5,)],
        types={"v": "numeric"},
    ),
    one(
        "integers beyond 53 bits in a column carried as real",
        {"v": ("", "decimal")},
        [(2**53 + 1,), (0.5,)],
        decided=column("v", codec="real"),
        refused=[Refusal("v", "is an integer that double precision cannot hold exactly", _NUMERIC)],
    ),
    one(
        "decimals stored as integer and real",
        {"v": ("DECIMAL(20,4)", "decimal"), "w": ("NUMERIC", "decimal"), "x": ("MONEY", "decimal")},
        [(1, 1, 1), (0.1, 0.1, 0.1), (-19.9999, 1e22, 1e-7), (12345678901234.56, 5e-324, 0.0), (0, 1.7976931348623157e308, -0.5)],
        types={"v": "numeric(20,4)", "w": "numeric", "x": "numeric"},
    ),
    one(
        "decimals stored as text",
        {"v": ("TEXT", "decimal")},
        [("1.10",), ("-0.00",), ("00012.5000",), ("12345678901234567890123456789.123456789012345678901234567890",), ("1e-30",), ("+.5",), ("5.",), ("1E+40",)],
        decided=column("v", codec="decimal"),
        types={"v": "numeric"},
    ),
    one(
        "decimals that are no numbers",
        {"v": ("TEXT", "text")},
        [("1.10",), ("1,10",), ("NaN",), ("Infinity",), ("0x10",), ("",), (" 1",), ("1_000",), ("１",)],
        decided=column("v", codec="decimal"),
        refused=[Refusal("v", "text is no decimal number", _AS_TEXT, count=8)],
    ),
    one(
        "decimals with more places than declared",
        {"v": ("DECIMAL(4,2)", "decimal")},
        [(99.99,), (-99.99,), (0.125,), (100,)],
        refused=[Refusal("v", "does not fit numeric(4,2)", _NUMERIC, count=2)],
    ),
    one(
        "infinity as a decimal",
        {"v": ("NUMERIC", "real")},
        [(1.5,), (_INF,)],
        refused=[Refusal("v", "is infinite: no decimal number", ANY)],
        decided_then=column("v", codec="real", type="double precision"),
    ),
    one("booleans", {"v": ("BOOLEAN", "boolean"), "w": ("bool", "boolean")}, [(0, 1), (1, 0), (None, None)], types={"v": "boolean", "w": "boolean"}),
    one(
        "booleans in words",
        {"v": ("BOOLEAN", "spelled")},
        [("t",), ("f",), ("true",), ("FALSE",), ("yes",), ("no",), ("on",), ("off",), ("Y",), ("N",)],
        refused=[Refusal("v", "holds text that is neither 0 nor 1: no boolean", {"codec": "boolean", "type": "boolean", "rule": "spelled"}, count=10)],
        touched={"v": 10},
    ),
    one("booleans in one spelling", {"v": ("BOOLEAN", "spelled"), "w": ("bool", "spelled")}, [("t", "FALSE"), ("f", "TRUE"), ("t", None)],
        types={"v": "boolean", "w": "boolean"}),
    one(
        "booleans and words that are none",
        {"v": ("BOOLEAN", "text")},
        [("t",), ("maybe",)],
        refused=[Refusal("v", "holds text that is neither 0 nor 1: no boolean", _AS_TEXT, count=2)],
    ),
    one(
        "booleans and another number",
        {"v": ("BOOLEAN", "integer")},
        [(0,), (1,), (2,), (-1,)],
        refused=[Refusal("v", "holds integer that is neither 0 nor 1: no boolean", {"codec": "integer", "type": "bigint"}, count=2)],
    ),
    one(
        "several classes without a declared type",
        {"v": ("", "number as text")},
        [(5,), (0.25,), ("five",), ("six",), (-0.0,), (2**63 - 1,), (1e300,), ("seven",), ("eight",)],
        refused=[Refusal("v", "holds integer where the codec takes text", _AS_TEXT, count=5)],
        touched={"v": 5},
    ),
    one(
        "numbers, text and bytes without a declared type",
        {"v": ("", None)},
        [(5,), ("five",), (b"\x05",), ("six",)],
        refused=[Refusal("v", "holds integer where the codec takes text", {"refused": "quarantine"}, count=2)],
        becomes=[(2, "five"), (4, "six")],
    ),
]  # fmt: skip

TEXTS = [
    one("text that formats trip over", {"v": ("TEXT", "text"), "w": ("", "text")}, [(v, v) for v in AWKWARD], types={"v": "text", "w": "text"}),
    one(
        "empty text and NULL",
        {"t": ("TEXT", "text"), "v": ("VARCHAR(3)", "text"), "b": ("BLOB", "blob")},
        [("", "", b""), (None, None, None)],
        holds=[("SELECT t IS NULL, v IS NULL, b IS NULL, t = '', v = '', b = '' FROM {t} ORDER BY n", [(False, False, False, True, True, True), (True, True, True, None, None, None)])],
    ),
    one(
        "text with NUL",
        {"v": ("TEXT", "bytes")},
        [(bytearray(b"fine"),), (bytearray(b"\0"),), (bytearray(b"in the\0middle"),), (bytearray(b"at the end\0"),)],
        refused=[Refusal("v", "text holds a NUL character, which PostgreSQL cannot store in text", _AS_BYTES, count=3)],
        touched={"v": 4},
        types={"v": "bytea"},
    ),
    one(
        "text that is no UTF-8",
        {"v": ("TEXT", "bytes")},
        [(bytearray(raw),) for raw in (b"caf\xe9", b"\xff", b"\xc0\x80", b"\xe2\x82", b"\xf4\x90\x80\x80", b"ok")],
        refused=[Refusal("v", "text is not valid UTF-8 at byte 3", _AS_BYTES, count=5)],
        touched={"v": 6},
    ),
    one(
        "halves of surrogate pairs",
        {"v": ("TEXT", "bytes")},
        [(bytearray(b"\xed\xa0\x80"),), (bytearray(b"\xed\xb0\x80"),), (bytearray(b"\xed\xa0\xbd\xed\xb8\x80"),)],
        refused=[Refusal("v", "text is not valid UTF-8 at byte 0", _AS_BYTES, count=3)],
        touched={"v": 3},
    ),
    one(
        "text of exactly its length",
        {"v": ("VARCHAR(4)", "text"), "w": ("CHARACTER VARYING(4)", "text"), "x": ("NVARCHAR(4)", "text")},
        [("🐘🐘🐘🐘", "éééé", "    "), ("abcd", "a  ", " a")],
        types={"v": "character varying(4)", "w": "character varying(4)", "x": "character varying(4)"},
    ),
    one(
        "text longer than declared",
        {"v": ("VARCHAR(4)", "text")},
        [("ééééé",), ("abcd",), ("abcd ",)],
        refused=[Refusal("v", "has 5 characters, more than varchar(4) holds", _TEXT, count=2)],
    ),
    one("text with blanks at its end in CHAR", {"v": ("CHAR(8)", "text")}, [("a  ",), ("a",), ("        ",)], types={"v": "character varying(8)"}),
    one("numbers as text keep their digits", {"v": ("TEXT", "text")}, [("007",), ("1.50",), ("1e5",), ("0x1F",), ("-0",)]),
    one(
        "cells of twenty megabytes",
        {"t": ("TEXT", "text"), "b": ("BLOB", "blob")},
        [("é" * 10_000_000, b"\x00\xff\\" * 6_666_667)],
        holds=[("SELECT octet_length(t), octet_length(b) FROM {t}", [(20_000_000, 20_000_001)])],
    ),
]  # fmt: skip

BYTES = [
    one("bytes", {"v": ("BLOB", "blob"), "w": ("VARBINARY(3)", "blob"), "x": ("", "blob")},
        [(v, v, v) for v in (b"", b"\0", bytes(range(256)), b"\\x41", b"\\", b"text", b"\xff\xfe" * 5_000)], types={"v": "bytea", "w": "bytea", "x": "bytea"}),
    one(
        "text among bytes",
        {"v": ("BLOB", "bytes")},
        [(b"\xff",), ("é",), (bytearray(b"\xff\0"),)],
        refused=[Refusal("v", "holds text where the codec takes blobs", _AS_BYTES, count=2)],
        touched={"v": 2},
    ),
    one("UUIDs", {"v": ("UUID", "uuid"), "w": ("GUID", "uuid")}, [(_UUID, "00000000-0000-0000-0000-000000000000"), (None, None)], types={"v": "uuid", "w": "uuid"}),
    one(
        "UUIDs in other spellings",
        {"v": ("UUID", "text")},
        [(_UUID,), (_UUID.upper(),), (_UUID.replace("-", ""),), ("{" + _UUID + "}",), ("",)],
        refused=[Refusal("v", "text is no UUID in lower case with dashes", _TEXT, count=4)],
    ),
    one("UUIDs as sixteen bytes", {"v": ("BINARY(16)", "blob")}, [(bytes.fromhex(_UUID.replace("-", "")),)], types={"v": "bytea"}),
]  # fmt: skip

DOCUMENTS = [
    one(
        "JSON",
        {"v": ("JSON", "json"), "w": ("JSONB", "json")},
        [(v, v) for v in ('{"a": [1, 2.50, -1e-7, "é\\u00e9\\n", null, true]}', "[]", '""', '"\\ud83d\\ude00"', "null", "true", ' { "b" : 1 , "a" : 2 } ',
                          "12345678901234567890.123456789", "[" * 90 + "]" * 90, '{"": {"": ""}}', '"\\\\u0000"', "[1E400]")],
        types={"v": "jsonb", "w": "jsonb"},
    ),
    one("numbers among JSON, as Prisma stores them", {"v": ("JSONB", "json")}, [(5,), (0.5,), (-(2**63),), ("[5]",)], types={"v": "jsonb"}),
    one(
        "JSON with a key twice",
        {"v": ("JSON", "text of json")},
        [('{"a": 1, "a": 2}',), ('{"a": 1, "\\u0061": 2}',), ('{"z": {"b": 0, "b": 0}}',), ("{}",)],
        refused=[Refusal("v", "JSON object has a key twice, of which jsonb keeps only the last", _JSON, count=3)],
        types={"v": "json"},
    ),
    one(
        "JSON with an escaped NUL",
        {"v": ("JSON", "text of json")},
        [('"\\u0000"',), ('{"\\u0000": 1}',), ("[0]",)],
        refused=[Refusal("v", "JSON holds \\u0000, which jsonb cannot store", _JSON, count=2)],
    ),
    one(
        "JSON with half a surrogate pair",
        {"v": ("JSON", "text of json")},
        [('"\\ud800"',), ('["\\udc00\\ud800"]',)],
        refused=[Refusal("v", "JSON holds half of a surrogate pair", _JSON, count=2)],
    ),
    one(
        "text that is no JSON",
        {"v": ("JSON", "text")},
        [("{",), ("{'a': 1}",), ("NaN",), ("",), ("undefined",), ("[1,]",), ("\ufeff{}",), ('{"a":1}{}',), ("[01]",), ('"\t"',), ("{}",)],
        refused=[Refusal("v", "text is no valid JSON", _AS_TEXT, count=10)],
    ),
    one(
        "JSON nested deeper than PostgreSQL's stack",
        {"v": ("JSON", "text")},
        [("[" * 501 + "]" * 501,), ("[" * 500 + "]" * 500,)],
        refused=[Refusal("v", "JSON is nested more than 500 deep", _AS_TEXT)],
    ),
    one(
        "JSON kept as its text",
        {"v": ("JSON", "text of json")},
        [('{"b":1,  "a":2, "a":3}',), ("  1.0  ",), (7,)],
        decided=column("v", codec="json"),
        types={"v": "json"},
    ),
]  # fmt: skip

STRICT = [
    one(
        "STRICT table",
        {"i": ("INTEGER", "integer"), "j": ("INT", "integer"), "r": ("REAL", "real"), "t": ("TEXT", "text"), "b": ("BLOB", "blob"), "a": ("ANY", "text")},
        [(1, 2**63 - 1, 0.1, "é", b"\0", "any"), (None,) * 6],
        option="STRICT",
        types={"i": "bigint", "j": "bigint", "r": "double precision", "t": "text", "b": "bytea", "a": "text"},
    ),
    one(
        "ANY of a STRICT table holds several classes",
        {"a": ("ANY", "number as text")},
        [("text",), (1,), (0.5,), ("more text",), ("007",)],
        option="STRICT",
        refused=[Refusal("a", "holds integer where the codec takes text", _AS_TEXT, count=2)],
        touched={"a": 2},
    ),
]  # fmt: skip

#: A decimal is what it is in numeric, digit for digit: the trailing zeros that text had are its scale.
SCALES = [
    Case(
        "decimals as text keep their scale",
        'CREATE TABLE "decimals as text keep their scale" (n INTEGER PRIMARY KEY, v TEXT)',
        [(1, "1.10"), (2, "100"), (3, "0.000")],
        becomes=[(1, Decimal("1.10")), (2, Decimal(100)), (3, Decimal("0.000"))],
        decided=column("v", codec="decimal"),
        holds=[("SELECT v::text FROM {t} ORDER BY n", [("1.10",), ("100",), ("0.000",)])],
    ),
]

CASES = [*NUMBERS, *TEXTS, *BYTES, *DOCUMENTS, *STRICT, *SCALES]
