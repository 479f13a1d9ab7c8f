# SPDX-License-Identifier: GPL-3.0-or-later
"""The codec whose values only a column knows: labels of an enum, and types that hold fewer digits of a second."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.codecs.fills import fillers, fills
from cutover.codecs.narrow import Enum
from cutover.errors import Unfit
from cutover.plan.codec import codec_of
from cutover.plan.model import PlanColumn
from support import stored
from support.stored import text

LABELS = ("happy", "sehr glücklich", "it's", "")


@given(st.one_of(st.sampled_from(LABELS).map(text), stored.CLEAN.map(stored.text), stored.INT64, stored.BLOBS))
def test_only_labels_are_taken(value: stored.Stored) -> None:
    codec = codec_of(PlanColumn("x", "x", "", "enum", "enum", labels=LABELS))
    wire, canonical = codec.wire("enum"), codec.canonical("enum")
    if isinstance(value, bytearray) and value.decode() in LABELS:
        assert wire(value) == len(value).to_bytes(4, "big") + value
        assert canonical(value) == b"%d:" % len(value) + value
        assert codec.restore(value.decode(), "enum") == value.decode()
    else:
        with pytest.raises(Unfit):
            wire(value)


def test_refusal_names_some_labels() -> None:
    with pytest.raises(Unfit, match=r"is no label of the enum \(l0, l1, l2, l3, l4, l5, l6, l7…\)"):
        Enum(tuple(f"l{n}" for n in range(20))).wire("enum")(text("other"))


def test_what_fills_a_type() -> None:
    assert fills("text", "citext")
    assert fills("epoch_ms", "timestamptz(3)")
    assert not fills("text", "integer")
    assert {name for name, _, rules in fillers("uuid") if not rules} >= {"uuid", "uuid_hex", "uuid_bytes"}
    assert all(type_name == "timestamp(3)" for _, type_name, _ in fillers("timestamp(3)"))
