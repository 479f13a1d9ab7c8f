# SPDX-License-Identifier: GPL-3.0-or-later
"""The generated packer gives what the codecs give one by one; what they refuse is left out or named."""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutover.canonical import Canonical
from cutover.codecs.base import NULL
from cutover.errors import Refused
from cutover.inline import LARGE, inline
from cutover.packer import CHUNK_BYTES, Packer, refuse_row, row_name
from cutover.plan.model import PlanTable
from support import stored
from support.engine import plan_table
from support.stored import text
from support.ways import MADE_FOR, WAYS, Way

Row = tuple[Any, ...]


def slowly(ways: list[Way], rows: list[Row]) -> tuple[bytes, list[Row]]:
    """Binary COPY and the refused rows, by the codecs' own functions."""
    packed, refused = [], []
    for row in rows:
        if all(value is None or way.accepts(value) for way, value in zip(ways, row)):
            fields = [NULL if value is None else way.wire(value) for way, value in zip(ways, row)]
            packed.append(struct.pack(">h", len(ways)) + b"".join(fields))
        else:
            refused.append(row)
    return b"".join(packed), refused


def quickly(table: PlanTable, rows: list[Row]) -> tuple[bytes, list[Row], int]:
    """The same by the generated function, and the number of rows that it counts."""
    refused: list[Row] = []
    chunks = list(Packer(table).chunks(rows, refused.append))
    return b"".join(chunk for chunk, _ in chunks), refused, sum(count for _, count in chunks)


def table_of(ways: list[Way]) -> PlanTable:
    return plan_table({f"c{i}": way for i, way in enumerate(ways)})


def with_null(table: PlanTable, required: bool) -> PlanTable:
    """The table with every column NOT NULL, or none: the fast path trusts it, and must survive that it is wrong."""
    return replace(table, columns=tuple(replace(column, not_null=required) for column in table.columns))


#: The ways with a fast path occur as often as all others together.
FAST = [way for way in WAYS if inline(table_of([way]).columns[0], way.wire) is not None]
ANYTHING: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    stored.INT64,
    stored.REALS,
    stored.CLEAN.map(text),
    stored.BLOBS,
    st.sampled_from([v for v in stored.TEMPTING if not isinstance(v, bytearray) or len(v) < 1000]),
)


@settings(max_examples=60)
@given(st.data())
def test_fast_path_gives_what_the_codecs_give(data: st.DataObject) -> None:
    ways = data.draw(st.lists(st.one_of(st.sampled_from(FAST), st.sampled_from(WAYS)), min_size=1, max_size=5))
    value = [st.one_of(MADE_FOR[way.name], MADE_FOR[way.name], ANYTHING) for way in ways]
    rows = data.draw(st.lists(st.tuples(*value), max_size=12))
    table = with_null(table_of(ways), data.draw(st.booleans()))
    packed, refused, count = quickly(table, rows)
    assert (packed, refused) == slowly(ways, rows)
    assert count == len(rows) - len(refused)


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("way", FAST, ids=str)
def test_fast_path_takes_tempting_values_like_the_codec(way: Way, required: bool) -> None:
    rows = [(value,) for value in [None, *stored.TEMPTING]]
    packed, refused, _ = quickly(with_null(table_of([way]), required), rows)
    assert (packed, refused) == slowly([way], rows)


NUMERIC = ["numeric", "numeric(10,2)", "numeric(5)", "numeric(38,38)", "numeric(2,5)", "numeric(20,4)", "numeric(9,3)"]
NUMBERS = st.one_of(
    st.builds(lambda digits, places: digits / 10**places, st.integers(-(10**13), 10**13), st.integers(0, 7)),
    st.integers(-(10**13), 10**13),
    st.integers(-(10**12), 10**12).map(
        lambda n: math.nextafter(n / 100, math.inf) if hasattr(math, "nextafter") else n / 3
    ),
    stored.REALS,
)


@settings(max_examples=60)
@given(st.sampled_from(NUMERIC), st.lists(NUMBERS, min_size=20, max_size=60))
def test_decimals_are_packed_like_decimals(type_name: str, numbers: list[Any]) -> None:
    way = Way("decimal", type_name)
    rows = [(number,) for number in [0, 0.0, -0.0, *numbers]]
    assert quickly(table_of([way]), rows)[:2] == slowly([way], rows)


@settings(max_examples=60)
@given(st.sampled_from(NUMERIC), st.lists(NUMBERS, min_size=20, max_size=60))
def test_decimals_have_one_canonical_form(type_name: str, numbers: list[Any]) -> None:
    way = Way("decimal", type_name)
    canonical = Canonical(table_of([way]))
    for number in filter(way.accepts, [0, 0.0, -0.0, *numbers]):
        assert canonical.row((number,)) == canonical.exact((number,)), number


def test_large_cells_are_sent_by_themselves() -> None:
    ways = [
        Way("integer", "bigint"),
        Way("text", "text"),
        Way("blob", "bytea"),
        Way("jsonb", "jsonb"),
        Way("text", "text", ("as_text",)),
    ]
    large = LARGE + 5
    rows: list[Row] = [
        (1, text("x"), b"y", text("{}"), 5),
        (2, text("ü" * large), b"y", None, 5),
        (3, text("x"), bytes(large), text('"' + "z" * large + '"'), text("as" * large)),
        (4, None, text("z" * large), None, None),
        (5, text("x"), b"y", text("{}"), 5),
    ]
    table = table_of(ways)
    packed, refused, count = quickly(table, rows)
    assert (packed, refused) == slowly(ways, rows)
    assert (refused, count) == ([rows[3]], 4)
    pieces = [chunk for chunk, _ in Packer(table).chunks([rows[2]], lambda row: None)]
    assert max(map(len, pieces)) < large * 2 + 10
    assert len(pieces) == len(ways) + 2


def test_rows_come_in_chunks_and_every_row_is_counted_once() -> None:
    table = table_of([Way("integer", "bigint"), Way("text", "text")])
    rows = [(n, text("x" * 1000)) for n in range(1000)]
    refused: list[Row] = []
    chunks = list(Packer(table).chunks(rows, refused.append))
    assert [len(chunk) >= CHUNK_BYTES for chunk, _ in chunks[:-1]] == [True] * (len(chunks) - 1)
    assert max(len(chunk) for chunk, _ in chunks) < CHUNK_BYTES + 1100
    assert sum(count for _, count in chunks) == 1000
    assert b"".join(chunk for chunk, _ in chunks) == slowly([Way("integer", "bigint"), Way("text", "text")], rows)[0]


def test_table_without_rows_gives_no_chunk() -> None:
    assert quickly(table_of([Way("integer", "bigint")]), []) == (b"", [], 0)


def test_names_never_become_code() -> None:
    names = ['"', "'); raise SystemExit(1) #", "c0\n", "{v}", "%s", "\\", "class"]
    table = plan_table(dict.fromkeys(names, ("integer", "bigint", None)), name="'''\nimport os")
    packed, refused, count = quickly(table, [tuple(range(len(names)))])
    assert (refused, count) == ([], 1)
    assert packed == slowly([Way("integer", "bigint")] * len(names), [tuple(range(len(names)))])[0]


def test_values_that_a_rule_decided_are_counted() -> None:
    packer = Packer(plan_table({"a": ("text", "text", "as_text"), "b": ("integer", "bigint", None)}))
    list(packer.chunks([(text("x"), 1), (5, 2), (None, 3), (0.5, 4)], lambda row: None))
    assert packer.touched == {("a", "as_text"): 2}


def test_refused_row_is_named_with_table_column_key_value_and_a_way_out() -> None:
    table = plan_table(
        {"id": ("integer", "bigint", None), "price": ("decimal", "numeric(5,2)", None)}, "item", key="id"
    )
    packer = Packer(table)
    with pytest.raises(Refused) as caught:
        list(packer.chunks([(1, 5), (7, text("12.345"))], lambda row: refuse_row(packer, row)))
    assert str(caught.value) == "table item, column price, row id=7: does not fit numeric(5,2). Value: '12.345'."
    [finding] = caught.value.findings
    assert (finding.severity, finding.table, finding.column, finding.key, finding.value) == (
        "error", "item", "price", "id=7", "'12.345'",
    )  # fmt: skip
    assert finding.decide == {"tables": {"item": {"columns": {"price": {"codec": "decimal", "type": "numeric"}}}}}


def test_every_refused_column_of_a_row_is_named() -> None:
    table = plan_table({"a": ("boolean", "boolean", None), "b": ("blob", "bytea", None), "c": ("text", "text", None)})
    packer = Packer(table)
    with pytest.raises(Refused) as caught:
        refuse_row(packer, (2, 5, text("fine")))
    entries = [f.decide["tables"]["t"]["columns"] for f in caught.value.findings if f.decide]
    # No codec takes numbers among blobs: such rows can be set aside.
    assert entries == [
        {"a": {"codec": "integer", "type": "bigint"}},
        {"b": {"refused": "quarantine"}},
    ]


def test_key_of_a_row_is_shown_as_a_person_would_write_it() -> None:
    columns = {"a": ("integer", "bigint", None), "b": ("text", "text", None)}
    row = (7, text("x'y"))
    assert row_name(plan_table(columns, key="a"), row) == "a=7"
    assert row_name(plan_table(columns, key="b"), row) == 'b="x\'y"'
    assert row_name(plan_table(columns), row, 12) == "rowid 12"
    assert row_name(plan_table(columns), row) == "no key"


def test_canonical_rows_cannot_be_mistaken_for_each_other() -> None:
    canonical = Canonical(plan_table({"a": ("text", "text", None), "b": ("text", "text", None)}))
    rows: list[Row] = [
        (text("x|"), text("")),
        (text("x"), text("|")),
        (text("x|0:"), None),
        (text("x"), None),
        (None, text("x")),
        (text(""), text("")),
        (None, None),
        (text("\n"), None),
    ]
    assert len({canonical.row(row) for row in rows}) == len(rows)


@given(st.data())
@settings(max_examples=40)
def test_different_rows_have_different_canonical_text(data: st.DataObject) -> None:
    canonical = Canonical(
        plan_table({"a": ("text", "text", None), "b": ("integer", "bigint", None), "c": ("blob", "bytea", None)})
    )
    row = st.tuples(
        st.none() | st.text("|:#\n01", max_size=6).map(text), st.none() | stored.INT64, st.none() | stored.BLOBS
    )
    first, second = data.draw(row), data.draw(row)
    assert (canonical.row(first) == canonical.row(second)) == (first == second)


@settings(max_examples=60)
@given(st.data())
def test_canonical_form_is_the_same_by_generated_code_and_by_the_codecs(data: st.DataObject) -> None:
    ways = data.draw(st.lists(st.sampled_from(WAYS), min_size=1, max_size=5))
    value = [st.one_of(st.none(), MADE_FOR[way.name].filter(way.accepts)) for way in ways]
    rows = data.draw(st.lists(st.tuples(*value), max_size=12))
    canonical = Canonical(with_null(table_of(ways), data.draw(st.booleans())))
    exact = [canonical.exact(row) for row in rows]
    assert [canonical.row(row) for row in rows] == exact
    digested = bytearray()
    assert canonical.digest(iter(rows), digested.extend) == (len(rows), len(b"".join(exact)))
    assert digested == b"".join(exact)


@pytest.mark.parametrize(
    "way", [way for way in WAYS if way.name in ("text", "blob", "decimal", "date", "epoch_ms")], ids=str
)
def test_canonical_form_of_tempting_values_is_the_same_by_both(way: Way) -> None:
    canonical = Canonical(table_of([way]))
    for value in filter(way.accepts, stored.TEMPTING):
        assert canonical.row((value,)) == canonical.exact((value,)), value
