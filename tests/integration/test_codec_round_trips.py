# SPDX-License-Identifier: GPL-3.0-or-later
"""Every codec, value by value: SQLite → binary COPY → PostgreSQL → SQLite, and one canonical text on both sides."""

from __future__ import annotations

import datetime as dt
import io
import json
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutover.codecs import CODECS
from cutover.packer import COPY_HEADER, COPY_TRAILER
from cutover.target.connect import connect
from support import stored
from support.postgres import Cluster
from support.stored import sent_through_sqlite, text
from support.ways import MADE_FOR, WAYS, Way

_ROW = struct.Struct(">hiq").pack


@pytest.fixture(scope="module")
def session(postgres: Cluster) -> Iterator[Any]:
    """A session of the engine in a database of its own."""
    made = postgres.create_database()
    with closing(connect(made.url, autocommit=True)) as connection:
        yield connection
    postgres.drop_database(made)


class Column:
    """A table of one column that travels a way."""

    def __init__(self, session: Any, way: Way) -> None:
        self.way = way
        self._cursor = session.cursor()
        self._cursor.execute("DROP TABLE IF EXISTS pg_temp.v")
        self._cursor.execute(f"CREATE TEMP TABLE v (n bigint, v {way.type})")

    def there_and_back(self, values: list[Any]) -> list[tuple[str, str, Any]]:
        """Send the values; per value the canonical text by concat() and by itself, and what is restored of it."""
        codec, type_name = self.way.codec, self.way.type
        data = b"".join(_ROW(2, 8, n) + self.way.wire(value) for n, value in enumerate(values))
        self._cursor.execute("TRUNCATE pg_temp.v")
        self._cursor.copy_expert(
            "COPY pg_temp.v FROM STDIN WITH (FORMAT binary)", io.BytesIO(COPY_HEADER + data + COPY_TRAILER)
        )
        canonical = codec.canonical_sql("v", type_name)
        restore = codec.restore_sql("v", type_name)
        # As the canonical form and rows.column_texts use the expression.
        self._cursor.execute(f"SELECT concat({canonical}), ({canonical})::text, ({restore})::text FROM v ORDER BY n")
        rows = self._cursor.fetchall()
        assert len(rows) == len(values)
        return [
            (joined, single or "", None if back is None else codec.restore(back, type_name))
            for joined, single, back in rows
        ]

    def check(self, values: list[Any]) -> int:
        """Check the values that the codec accepts; return how many they are."""
        accepted = [value for value in sent_through_sqlite(values) if self.way.accepts(value)]
        if not accepted:
            return 0
        came_back = self.there_and_back(accepted)
        again = sent_through_sqlite([text(v) if isinstance(v, str) else v for _, _, v in came_back])
        for value, (joined, single, _), restored in zip(accepted, came_back, again):
            mine = self.way.canonical(value).decode()
            assert mine == joined
            assert mine == single
            touched = self.way.codec.touched(self.way.type, self.way.rules)(value) if self.way.rules else ()
            # What a conversion makes of a value is in tests/unit/test_conversions.py.
            if set(touched) <= set(self.way.codec.exact.rules):
                assert_same(self.way, value, restored)
        return len(accepted)


def moment(value: stored.Stored, zone: str) -> dt.datetime:
    """The point in time that ISO text or milliseconds mean, read by Python's own parser."""
    if isinstance(value, int):
        return dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc) + dt.timedelta(milliseconds=value)
    assert isinstance(value, bytearray)
    shown = value.decode().upper().replace(" +", "+").replace(" -", "-").replace(" Z", "Z")
    read = dt.datetime.fromisoformat(shown.replace("Z", "+00:00"))
    return read if read.tzinfo else dt.datetime.fromisoformat(read.isoformat() + zone)


def number(value: stored.Stored) -> Decimal:
    """The decimal number that a stored value means."""
    if isinstance(value, (bytes, bytearray)):
        return Decimal(value.decode())
    return Decimal(repr(value))


def json_value(value: stored.Stored) -> Any:
    """JSON as Python data, numbers exact."""
    raw = value.decode() if isinstance(value, (bytes, bytearray)) else repr(value)
    return json.loads(raw, parse_float=Decimal, parse_int=Decimal)


def as_text(value: stored.Stored) -> stored.Stored:
    return value if isinstance(value, (bytes, bytearray)) else text(repr(value))


#: What a codec does not promise to keep, as a function after which source and restored value are the same.
NORMAL: dict[str, Callable[[Any], Any]] = {
    "real": lambda v: struct.pack(">d", v),
    "float4": lambda v: struct.pack(">f", v),
    "utc_timestamp": lambda v: moment(v, ""),
    "char": lambda v: v.decode().rstrip(),
    "decimal": number,
    "text": as_text,
    "blob": bytes,
    "iso_timestamp": lambda v: moment(v, ""),
    "iso_timestamptz": lambda v: moment(v, "+00:00"),
    "mixed_timestamp": lambda v: moment(v, "+00:00"),
    "epoch_real": float,
    "julian": float,
    "interval_since_epoch": lambda v: moment(v, ""),
    "time": lambda v: dt.time.fromisoformat(v.decode()),
    "jsonb": json_value,
    "json": as_text,
}


def assert_same(way: Way, value: stored.Stored, restored: stored.Stored) -> None:
    """The restored value is the same, or the same but for what the codec says it does not keep."""
    if way.name in ("epoch_real", "julian") and way.rules:
        tolerance = 0.0006 if "round_to_ms" in way.rules else 0.0000011
        scale = 86_400 if way.name == "julian" else 1
        assert abs(Fraction(restored) - Fraction(value)) * scale < tolerance + abs(value) * scale * 2**-52
    elif not way.rules and way.name in ("text", "blob"):
        assert (type(restored), restored) == (type(value), value)
    elif way.name in NORMAL:
        normal = NORMAL[way.name]
        assert normal(restored) == normal(value)
    else:
        assert (type(restored), restored) == (type(value), value)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_accepted_values_survive_and_canonical_texts_agree(session: Any, way: Way) -> None:
    column = Column(session, way)
    accepted = 0

    @settings(max_examples=12)
    @given(st.lists(MADE_FOR[way.name], min_size=10, max_size=120))
    def run(values: list[Any]) -> None:
        nonlocal accepted
        accepted += column.check(values)

    run()
    assert accepted > 20


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_what_python_accepts_of_tempting_values_postgresql_accepts(session: Any, way: Way) -> None:
    Column(session, way).check(list(stored.TEMPTING))


_ANYTHING: st.SearchStrategy[Any] = st.one_of(
    stored.INT64,
    stored.REALS,
    stored.BLOBS,
    st.binary(max_size=12).map(bytearray),
    st.sampled_from([v for v in stored.TEMPTING if not isinstance(v, bytearray) or len(v) < 500]),
)
_TYPES = {"text": "varchar(5)", "decimal": "numeric(10,2)", "integer": "smallint", "char": "char(3)"}


@pytest.mark.parametrize("name", [name for name in CODECS if name != "enum"])
def test_rules_in_any_company_agree_on_both_sides(session: Any, name: str) -> None:
    always = ("per_value",) if name == "mixed_timestamp" else ()
    type_name = _TYPES.get(name, CODECS[name].types[0])
    some = st.lists(st.sampled_from(list(CODECS[name].rules)), unique=True).map(lambda rules: (*always, *rules))

    @settings(max_examples=12)
    @given(some, st.lists(st.one_of(MADE_FOR[name], _ANYTHING), min_size=10, max_size=60))
    def run(rules: tuple[str, ...], values: list[Any]) -> None:
        way = Way(name, type_name, tuple(dict.fromkeys(rules)))
        count = way.codec.touched(type_name, way.rules)
        column = Column(session, way)
        accepted = [value for value in sent_through_sqlite(values) if way.accepts(value)]
        for value, (joined, single, _) in zip(accepted, column.there_and_back(accepted) if accepted else []):
            assert way.canonical(value).decode() == joined == single
            assert set(count(value)) <= set(way.rules)
            # Without a rule that did something the value is carried as if there were none.
            if not count(value):
                assert way.canonical(value) == Way(name, type_name, always).canonical(value)

    run()


@pytest.mark.parametrize("declared", ["REAL", "DOUBLE"])
def test_reals_survive_a_column_of_their_own_affinity(session: Any, declared: str) -> None:
    column = Column(session, Way("real", "double precision"))
    values = [0.1, -0.0, 1.0, 1e300, 5e-324, float("inf"), float("-inf"), 2.0**53, 123456789.125]
    came_back = [restored for _, _, restored in column.there_and_back(values)]
    assert [struct.pack(">d", v) for v in came_back] == [struct.pack(">d", v) for v in values]


def test_numbers_in_a_numeric_column_get_their_storage_class_back(session: Any) -> None:
    # Integers stay integers and reals stay reals, though numeric knows no such difference.
    column = Column(session, Way("decimal", "numeric"))
    values = [0, 1, -(2**63), 2**63 - 1, 0.5, 1e-7, 123456.789, 1e300, -1.7976931348623157e308]
    came_back = [restored for _, _, restored in column.there_and_back(values)]
    assert [(type(v), v) for v in came_back] == [(type(v), v) for v in values]


def test_decimal_of_twenty_thousand_digits_survives(session: Any) -> None:
    column = Column(session, Way("decimal", "numeric"))
    digits = "9" * 20_000
    assert (
        column.check([text(digits), text(digits + "." + "1" * 16_383), text("9" * 131_072 + "." + "7" * 16_383)]) == 3
    )


def test_texts_around_the_length_from_which_they_are_hashed_agree(session: Any) -> None:
    for way in (Way("text", "text"), Way("json", "json"), Way("jsonb", "jsonb")):
        column = Column(session, way)
        sizes = range(8186, 8200)
        values = [text('"' + "x" * size + '"') for size in sizes] + [
            text('"' + "é" * (size // 2) + '"') for size in sizes
        ]
        assert column.check(values) == len(values)


def test_megabytes_of_text_in_every_script_survive(session: Any) -> None:
    column = Column(session, Way("text", "text"))
    # Longer than the slices in which long text is checked, with characters across the cuts.
    values = [text(unit * ((1 << 20) // len(unit.encode()) + 7)) for unit in ("é", "€", "🐘", "aé", "x")]
    assert column.check([*values, text(b"x" + b"\xe2\x82\xac" * (1 << 19))]) == 6


def test_stamps_at_the_ends_of_what_postgresql_holds_survive(session: Any) -> None:
    first, last = -210_866_803_200_000_000, 2**63 - 2
    for name, unit in (("epoch_us", 1), ("epoch_ms", 1000), ("epoch_s", 1_000_000)):
        for type_name in ("timestamptz", "timestamp"):
            way = Way(name, type_name)
            inside = [-(-first // unit), last // unit]
            assert Column(session, way).check(inside) == 2
            for outside in (inside[0] - 1, inside[1] + 1):
                assert not way.accepts(outside)
