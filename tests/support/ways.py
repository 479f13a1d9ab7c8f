# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way in which a column can travel: codec, type, rule; and values that each is made for."""

from __future__ import annotations

import ipaddress
import struct
from typing import Any, NamedTuple

from hypothesis import strategies as st

from cutover.codecs import CODECS
from cutover.codecs.narrow import narrowed
from cutover.codecs.network import host
from cutover.codecs.numbers import SPELLINGS
from cutover.codecs.ruled import Ruled
from cutover.errors import Unfit
from support import stored


class Way(NamedTuple):
    """A codec with one of its types (modifiers included) and some of its rules."""

    name: str
    type: str
    rules: tuple[str, ...] = ()

    @property
    def codec(self) -> Ruled:
        """The codec itself."""
        return Ruled(narrowed(CODECS[self.name].exact, self.type))

    def wire(self, value: stored.Stored) -> bytes:
        """The value's field in binary COPY."""
        return self.codec.wire(self.type, self.rules)(value)

    def canonical(self, value: stored.Stored) -> bytes:
        """The value's canonical text."""
        return self.codec.canonical(self.type, self.rules)(value)

    def accepts(self, value: stored.Stored) -> bool:
        """Whether the codec takes the value; any exception but Unfit is a bug and comes through."""
        try:
            self.wire(value)
        except Unfit:
            return False
        return True

    def __str__(self) -> str:
        return f"{self.name}-{self.type}" + "".join(f"-{rule}" for rule in self.rules)


_WITH_MODIFIERS = {
    "decimal": ("numeric(10,2)", "numeric(5)", "numeric(38,38)", "numeric(1000,500)", "numeric(2,5)"),
    "text": ("varchar(5)", "varchar(10000)"),
    "char": ("char(5)",),
    "epoch_us": ("timestamptz(3)",),
    "iso_timestamp": ("timestamp(0)", "timestamp(3)"),
    "time": ("time(2)",),
}


#: Types for which a conversion means something else than for the codec's first.
_MATTERS = {
    ("text", "truncate"): ("varchar(5)",),
    ("char", "truncate"): ("char(5)",),
    ("decimal", "round_to_scale"): ("numeric(10,2)", "numeric(5)"),
    ("integer", "clamp"): ("smallint", "integer"),
    ("integer", "to_null"): ("smallint",),
    ("text", "to_null"): ("varchar(5)",),
}


def _ways() -> tuple[Way, ...]:
    found: list[Way] = []
    for codec in CODECS.values():
        # An enum's labels are a column's own; see test_codecs_of_existing_tables.
        if codec.name == "enum":
            continue
        # A mix of stamps is only carried by its rule; see plan.overrides.
        always = ("per_value",) if codec.name == "mixed_timestamp" else ()
        own = [(rule,) for rule in codec.exact.rules if rule not in always]
        for type_name in (*codec.types, *_WITH_MODIFIERS.get(codec.name, ())):
            found += [Way(codec.name, type_name, always + chosen) for chosen in [(), *own]]
        for rule in codec.rules:
            if rule not in codec.exact.rules:
                found += [
                    Way(codec.name, t, (*always, rule)) for t in _MATTERS.get((codec.name, rule), codec.types[:1])
                ]
    return tuple(found)


WAYS = _ways()

_TEXTS: st.SearchStrategy[Any] = st.one_of(stored.CLEAN.map(stored.text), stored.LONG_TEXTS.map(stored.text))
_MILLISECONDS = st.integers(-62_135_596_800_000, 253_402_300_799_999)

#: Addresses with the runs of zeros in which the ways to write them differ.
_NEAR_ZERO = st.lists(st.sampled_from([0, 0, 0, 1, 0xFFFF]), min_size=8, max_size=8).map(
    lambda words: ipaddress.IPv6Address(struct.pack(">8H", *words))
)

#: By codec, values of which most are accepted.
MADE_FOR: dict[str, st.SearchStrategy[Any]] = {
    "integer": st.one_of(stored.INT64, st.integers(-40_000, 40_000)),
    "real": st.one_of(stored.REALS, st.integers(-(2**53), 2**53)),
    "decimal": stored.DECIMALS,
    "boolean": st.sampled_from([0, 1]),
    "text": st.one_of(_TEXTS, stored.INT64, stored.REALS),
    "blob": st.one_of(stored.BLOBS, stored.LONG_TEXTS.map(str.encode), _TEXTS),
    "uuid": st.uuids().map(lambda u: stored.text(str(u))),
    "epoch_s": st.one_of(st.integers(-62_135_596_800, 253_402_300_799), st.integers(-(10**14), 10**14)),
    "epoch_ms": st.one_of(_MILLISECONDS, st.integers(-(10**17), 10**17)),
    "epoch_us": st.one_of(stored.INT64, stored.INT64.map(lambda us: us - us % 1000 if us > 0 else us)),
    "iso_timestamp": st.one_of(stored.ISO_TEXTS, stored.DATES),
    "iso_timestamptz": st.one_of(stored.ZONED_TEXTS, stored.UTC_TEXTS),
    "mixed_timestamp": st.one_of(_MILLISECONDS, stored.ISO_TEXTS, stored.DATES, stored.ZONED_TEXTS),
    "date": stored.DATES,
    "time": stored.TIMES,
    "jsonb": st.one_of(stored.JSON_TEXTS, stored.INT64, stored.REALS),
    "json": st.one_of(stored.JSON_TEXTS, stored.INT64, stored.REALS),
    "enum": st.sampled_from(["a", "b"]).map(stored.text),
    "float4": st.one_of(st.floats(width=32, allow_nan=False), stored.REALS, st.integers(-(2**24), 2**24)),
    "char": st.one_of(st.text("ab é", max_size=6), st.text("ab é", min_size=5, max_size=5), st.sampled_from("xyz")).map(
        stored.text
    ),
    "inet": st.one_of(st.ip_addresses(), _NEAR_ZERO).map(lambda a: stored.text(host(a.packed))),
    "uuid_hex": st.uuids().map(lambda u: stored.text(u.hex)),
    "uuid_bytes": st.uuids().map(lambda u: u.bytes),
    "utc_timestamp": st.one_of(stored.ISO_TEXTS, stored.DATES),
    "epoch_real": st.one_of(
        st.floats(-1e11, 1e11), st.integers(-(10**15), 10**15).map(lambda us: us / 1e6), st.integers(-(10**9), 10**10)
    ),
    "julian": st.one_of(
        st.floats(0, 5_373_484.4),
        st.integers(0, 5_373_484 * 64).map(lambda part: part / 64),
        st.integers(0, 5_373_484),
    ),
    "date_days": st.one_of(st.integers(-800_000, 3_000_000), st.integers(-(2**32), 2**32)),
    "interval_us": stored.INT64,
    "interval_since_epoch": stored.ISO_TEXTS,
    **{codec.name: st.sampled_from(codec.spellings).map(stored.text) for codec in SPELLINGS},
}
