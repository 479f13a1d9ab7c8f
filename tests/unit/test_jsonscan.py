# SPDX-License-Identifier: GPL-3.0-or-later
"""Large JSON documents are scanned; the scan says what the reader of small ones says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.codecs import documents, jsonscan
from cutover.errors import Unfit

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=6)
)
LAYOUTS = st.sampled_from([{}, {"indent": 1}, {"separators": (",", ":")}, {"indent": "\t", "ensure_ascii": False}])


def read(text: str) -> str:
    """What the reader of small documents makes of a text, or its refusal."""
    try:
        return documents.normal_text(documents.parse(text, documents._DECODER))
    except Unfit as reason:
        return f"refused: {str(reason).split(':')[0].split(' at ')[0]}"


def scanned(text: str) -> str:
    """What the scanner makes of it."""
    try:
        return jsonscan.normal_form(bytearray(text.encode())).decode()
    except Unfit as reason:
        return f"refused: {str(reason).split(':')[0].split(' at ')[0]}"


@given(DOCUMENTS, LAYOUTS)
def test_normal_form_is_that_of_the_reader(document: Any, layout: dict[str, Any]) -> None:
    text = json.dumps(document, **layout)
    assert scanned(text) == read(text)
    jsonscan.check(text.encode())


@given(st.text(st.sampled_from('{}[]":,\\ u0dDcC8aef1-+.E\ttrue'), max_size=12))
def test_what_is_no_json_is_refused_alike(text: str) -> None:
    assert scanned(text) == read(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"b":1,"a":{"cc":[],"c":{}},"":0}',
        '{"a":1,"\\u0061":2}',
        '{"é":1,"\\u00e9":2}',
        '{"\\ud83d\\ude00":"\\ud83d\\ude00\\u001f\\b\\f\\n\\r\\t\\"\\\\\\/"}',
        '"\\ud83d"',
        '"\\ude00\\ud83d"',
        '"\\u0000"',
        '"\\x"',
        '"\x01"',
        '"\\',
        '"a',
        "[1e400,1E-3,-0,-0.0,0.10,123456789012345678901234567890]",
        "01",
        "1 2",
        "[1,]",
        "{,}",
        '{"a"}',
        '{"a":}',
        '{"a":1,}',
        "[1 2]",
        "",
        " ",
        "nul",
        "1e9999999999999999999",
        "[" * 500 + "]" * 500,
        "[" * 501 + "]" * 501,
        "]",
        "[}",
    ],
)
def test_corners(text: str) -> None:
    assert scanned(text) == read(text)


def test_json_keeps_what_jsonb_cannot_hold() -> None:
    for text in ('{"a":1,"a":2}', '"\\u0000"', '"\\ud800"'):
        jsonscan.check(text.encode())
        with pytest.raises(Unfit):
            jsonscan.normal_form(text.encode())
