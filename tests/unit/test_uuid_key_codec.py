# SPDX-License-Identifier: GPL-3.0-or-later
"""Integer keys as UUIDs: what RFC 4122 says, NULL apart, nothing else taken."""

from __future__ import annotations

import struct
import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover import idmap
from cutover.canonical import Canonical
from cutover.codecs.keys import REMEMBERED, Fields, UuidKey
from cutover.errors import Unfit
from cutover.packer import COPY_HEADER, COPY_TRAILER, Packer
from cutover.plan.codec import codec_of
from cutover.plan.model import PlanColumn
from support import stored
from support.engine import plan_table
from support.stored import text

NAMESPACES = st.uuids()
KEYS = st.one_of(stored.INT64, st.integers(-3, 300))


def column(namespace: uuid.UUID, type_name: str = "uuid", declared: str = "INTEGER") -> PlanColumn:
    return PlanColumn("k", "k", declared, "uuid_key", type_name, key_of="parent", key_namespace=str(namespace))


@given(NAMESPACES, KEYS)
def test_value_is_the_uuid5_of_its_digits(namespace: uuid.UUID, key: int) -> None:
    expected = uuid.uuid5(namespace, str(key))
    codec = codec_of(column(namespace))
    assert codec.wire("uuid")(key) == b"\0\0\0\x10" + expected.bytes
    assert codec.wire("text")(key) == b"\0\0\0\x24" + str(expected).encode()
    for type_name in codec.types:
        assert codec.canonical(type_name)(key) == str(expected).encode()


@given(st.lists(st.tuples(st.sampled_from([uuid.UUID(int=1), uuid.UUID(int=2)]), KEYS), unique=True, max_size=50))
def test_no_two_keys_of_no_two_tables_are_equal(keys: list[tuple[uuid.UUID, int]]) -> None:
    assert len({UuidKey(namespace).canonical("uuid")(key) for namespace, key in keys}) == len(keys)


@given(st.lists(st.one_of(st.none(), KEYS), max_size=20), NAMESPACES)
def test_packed_in_line_as_by_the_codec(keys: list[int | None], namespace: uuid.UUID) -> None:
    table = plan_table({"k": ("uuid_key", "uuid", ())})
    table = type(table)(**{**table.__dict__, "columns": (column(namespace),)})
    packed = b"".join(chunk for chunk, _ in Packer(table).chunks([(key,) for key in keys], lambda row: None))
    wire = codec_of(column(namespace)).wire("uuid")
    assert packed == b"".join(b"\0\1" + (b"\xff" * 4 if key is None else wire(key)) for key in keys)
    assert [Canonical(table).values((key,)) for key in keys] == [
        [None if key is None else str(uuid.uuid5(namespace, str(key)))] for key in keys
    ]


@given(NAMESPACES, KEYS)
def test_column_of_text_takes_the_digits(namespace: uuid.UUID, key: int) -> None:
    codec = codec_of(column(namespace, declared="VARCHAR(20)"))
    expected = uuid.uuid5(namespace, str(key))
    assert codec.wire("uuid")(text(str(key)))[4:] == expected.bytes
    assert codec.canonical("uuid")(text(str(key))) == str(expected).encode()
    assert codec.restore(str(key), "uuid") == str(key)
    assert codec_of(column(namespace)).restore(str(key), "uuid") == key


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("INTEGER", 1.0),
        ("INTEGER", text("1")),
        ("INTEGER", b"1"),
        ("INTEGER", 2**63),
        ("INTEGER", -(2**63) - 1),
        ("", text("1")),
        ("TEXT", 1),
        *(("TEXT", text(digits)) for digits in ("", "01", "-0", "+1", " 1", "1.0", "1e3", "٣", str(2**63), "9" * 30)),
    ],
)
def test_anything_else_is_refused(declared: str, value: Any) -> None:
    codec = codec_of(column(uuid.UUID(int=7), declared=declared))
    for type_name in codec.types:
        with pytest.raises(Unfit, match=r"."):
            codec.wire(type_name)(value)
        with pytest.raises(Unfit, match=r"."):
            codec.canonical(type_name)(value)


def test_what_is_remembered_is_bounded_and_stays_right() -> None:
    fields = Fields(uuid.UUID(int=9), False)
    for key in range(REMEMBERED * 2 + 5):
        assert fields[key][4:8] == uuid.uuid5(uuid.UUID(int=9), str(key)).bytes[:4]
        assert len(fields) <= REMEMBERED
    assert fields[3][4:] == uuid.uuid5(uuid.UUID(int=9), "3").bytes


@given(NAMESPACES, st.lists(KEYS, unique=True, max_size=40), st.booleans())
def test_many_fields_at_once_are_those_made_one_by_one(namespace: uuid.UUID, keys: list[int], as_text: bool) -> None:
    many, single = Fields(namespace, as_text), Fields(namespace, as_text)
    many[-4711] = b"of another range"
    many.fill(keys)
    assert dict(many) == {key: single[key] for key in keys}
    for kind in ("uuid", "text"):
        table = plan_table({"k": ("uuid_key", kind, ())}, name="parent", key="k")
        table = type(table)(**{**table.__dict__, "columns": (column(namespace, kind),)})
        sent: list[bytes] = []
        cursor = SimpleNamespace(copy_expert=lambda sql, file, sent=sent: sent.append(file.read()))
        idmap.copy(cursor, "pgcutover", table, keys, Fields(namespace, kind == "text"))
        rows = b"".join(struct.pack(">hiq", 2, 8, key) + codec_of(table.columns[0]).wire(kind)(key) for key in keys)
        assert sent == [COPY_HEADER + rows + COPY_TRAILER]


def test_column_without_namespace_is_a_bug_told() -> None:
    with pytest.raises(ValueError, match="without a namespace"):
        codec_of(PlanColumn("k", "k", "INTEGER", "uuid_key", "uuid"))
