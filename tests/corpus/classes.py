# SPDX-License-Identifier: GPL-3.0-or-later
"""Each storage class of SQLite in a column of each declared type: a declared type is a hint, not a promise."""

from __future__ import annotations

from typing import Any, NamedTuple

from corpus.case import Case, Refusal, one

#: A value of each storage class that the affinity of no column turns into another.
_VALUES: dict[str, Any] = {"integer": 5, "real": 0.5, "text": "x y", "blob": b"\x00\xff"}


class _Cell(NamedTuple):
    """kind: what the value reads as. says: how its refusal begins, None when it is carried. decide: what is offered."""

    kind: str | None
    says: str | None = None
    decide: dict[str, str] | None = None


_AS_TEXT = {"codec": "text", "type": "text", "rule": "as_text"}
_AS_BYTES = {"codec": "blob", "type": "bytea", "rule": "text_as_bytes"}
_TEXT = {"codec": "text", "type": "text"}
_DECIMAL = {"codec": "decimal", "type": "numeric"}
_BIGINT = {"codec": "integer", "type": "bigint"}


def _no(wanted: str, decide: dict[str, str] | None = None, kind: str | None = None, held: str = "") -> _Cell:
    return _Cell(kind, f"holds {held or '*'} where the codec takes {wanted}", decide)


#: Declared type → storage class → what must become of a column that holds nothing else (and NULL).
_EXPECTED: dict[str, dict[str, _Cell]] = {
    "": {"integer": _Cell("integer"), "real": _Cell("real"), "text": _Cell("text"), "blob": _Cell("blob")},
    "INT": {
        "integer": _Cell("integer"),
        "real": _no("integers", _DECIMAL, "decimal"),
        "text": _no("integers", _AS_TEXT, "text"),
        "blob": _no("integers"),
    },
    "REAL": {
        # By its affinity SQLite stores 5 as 5.0.
        "integer": _Cell("real"),
        "real": _Cell("real"),
        "text": _no("reals", _AS_TEXT, "text"),
        "blob": _no("reals"),
    },
    "DECIMAL": {
        "integer": _Cell("decimal"),
        "real": _Cell("decimal"),
        "text": _Cell("text", "text is no decimal number", _AS_TEXT),
        "blob": _no("numbers"),
    },
    # By its affinity SQLite stores 5 as '5' and 0.5 as '0.5'.
    "TEXT": {
        "integer": _Cell("text"),
        "real": _Cell("text"),
        "text": _Cell("text"),
        "blob": _no("text", _AS_BYTES, "blob"),
    },
    "VARCHAR(2)": {
        "integer": _Cell("text"),
        "real": _Cell("text", "has 3 characters, more than varchar(2) holds", _TEXT),
        "text": _Cell("text", "has 3 characters, more than varchar(2) holds", _TEXT),
        "blob": _no("text", _AS_BYTES, "blob"),
    },
    "BLOB": {
        "integer": _no("blobs"),
        "real": _no("blobs"),
        "text": _no("blobs", _AS_BYTES, "bytes"),
        "blob": _Cell("blob"),
    },
    "BOOLEAN": {
        "integer": _Cell("integer", "holds integer that is neither 0 nor 1: no boolean", _BIGINT),
        "real": _Cell("decimal", "holds real that is neither 0 nor 1: no boolean", _DECIMAL),
        "text": _Cell("text", "holds text that is neither 0 nor 1: no boolean", _AS_TEXT),
        "blob": _Cell(None, "holds blob that is neither 0 nor 1: no boolean"),
    },
    "DATETIME": {
        "integer": _Cell("integer", "the integers are too small for seconds or milliseconds", _BIGINT),
        "real": _Cell("real", "1 values of a column declared DATETIME are reals", {"codec": "real", "type": "double precision"}),
        "text": _Cell("text", "text is no ISO 8601 timestamp", _TEXT),
        "blob": _no("integers"),
    },
    "DATE": {
        "integer": _Cell("integer", "the integers are too small for seconds or milliseconds", _BIGINT),
        "real": _Cell("real", "1 values of a column declared DATE are reals", {"codec": "real", "type": "double precision"}),
        "text": _Cell("text", "text is no ISO 8601 timestamp", _TEXT),
        "blob": _no("integers"),
    },
    "TIME": {
        "integer": _Cell("integer", "the integers are too small for seconds or milliseconds", _BIGINT),
        "real": _Cell("real", "1 values of a column declared TIME are reals", {"codec": "real", "type": "double precision"}),
        "text": _Cell("text", "text is no ISO 8601 timestamp", _TEXT),
        "blob": _no("integers"),
    },
    "JSON": {
        "integer": _Cell("json"),
        "real": _Cell("json"),
        "text": _Cell("text", "text is no valid JSON", _AS_TEXT),
        "blob": _no("JSON text or numbers", _AS_BYTES, "blob"),
    },
    "UUID": {
        "integer": _no("UUIDs as text", _AS_TEXT, "number as text"),
        "real": _no("UUIDs as text", _AS_TEXT, "number as text"),
        "text": _Cell("text", "text is no UUID in lower case with dashes", _TEXT),
        "blob": _no("UUIDs as text", _AS_BYTES, "blob"),
    },
}  # fmt: skip


def _case(declared: str, storage: str, cell: _Cell) -> Case:
    name = f"{declared or 'nothing declared'} of {storage}"
    refused = []
    more: dict[str, Any] = {}
    if cell.says is not None:
        refused = [Refusal("v", cell.says.replace("*", storage), cell.decide or {"refused": "quarantine"})]
        if cell.decide is None:
            # The whole row is set aside.
            more = {"becomes": [(1, None)]}
    return one(
        name,
        {"v": (declared, cell.kind)},
        [(None,), (_VALUES[storage],)],
        refused=refused,
        **more,
    )


CASES = [_case(declared, storage, cell) for declared, row in _EXPECTED.items() for storage, cell in row.items()]
