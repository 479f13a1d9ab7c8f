# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers, times and plan entries as a person reads them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cutover.report.decide import as_yaml, together
from cutover.report.words import describe, duration, number, place, rate, size, visible, when

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
ENTRIES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=15,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (True, "–"),
        ("5", "–"),
        (0, "0 s"),
        (0.0004, "0 s"),
        (0.4, "400 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (72.3, "1 min 12 s"),
        (3599.6, "1 h"),
        (3660, "1 h 1 min"),
        (32_552, "9 h 2 min"),
        (90_000, "1 d 1 h"),
        (604_800, "7 d"),
    ],
)
def test_durations(seconds: object, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "–"),
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_951, "1.0 MB"),
        (543_211_520, "543.2 MB"),
        (8 * 10**12, "8.0 TB"),
        (8 * 10**15, "8,000.0 TB"),
    ],
)
def test_sizes(amount: object, text: str) -> None:
    assert size(amount) == text


def test_numbers_have_thousands_separators() -> None:
    assert [number(value) for value in (0, 1_234_567, 4.25, 4.0, None, "many")] == [
        "0",
        "1,234,567",
        "4.2",
        "4",
        "–",
        "many",
    ]
    assert (rate(31_000_000, 1), rate(1, 0), rate(None, 1)) == ("31.0", "–", "–")


def test_times_are_utc() -> None:
    assert when("2026-11-22T16:30:00.123456+01:00") == "2026-11-22 15:30:00 UTC"
    assert when("2026-11-22T15:30:00Z") == "2026-11-22 15:30:00 UTC"
    assert (when("soon"), when(None)) == ("soon", "–")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\x00b", r"a\x00b"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("two\nlines", r"two\nlines"),
        ("\u202egnp", r"\u202egnp"),
        ("\ud800", r"\ud800"),
        ("naïve ☃ 👩‍👩‍👧", "naïve ☃ 👩‍👩‍👧"),
        (None, "–"),
        (4, "4"),
    ],
)
def test_what_acts_on_a_terminal_is_made_visible(value: object, text: str) -> None:
    assert visible(value) == text


def test_long_values_are_cut() -> None:
    assert visible("x" * 50, 10) == "x" * 9 + "…"


def test_places_and_databases() -> None:
    assert place({"table": "t", "column": "c", "key": "5"}) == "t.c, key 5"
    assert place({"table": "t"}) == "t"
    assert place({}) == ""
    assert describe({"host": "h", "port": 1, "x": None}) == "host h, port 1"
    assert (describe(""), describe(None), describe("sqlite:///x")) == ("–", "–", "sqlite:///x")


def test_a_plan_entry_reads_well() -> None:
    entry = {"tables": {"my table": {"columns": {"on": {"nul": "strip", "max": 3}}, "keys": ["a", {"b": []}]}}}
    assert as_yaml(entry) == "\n".join(
        [
            "tables:",
            '  "my table":',
            "    columns:",
            '      "on":',
            "        nul: strip",
            "        max: 3",
            "    keys:",
            "      - a",
            "      - b: []",
        ]
    )


def test_no_plan_entry_is_empty_and_a_text_is_left_alone() -> None:
    assert (as_yaml(None), as_yaml(""), as_yaml("a: 1\n")) == ("", "", "a: 1")


@given(st.dictionaries(TEXTS, ENTRIES, min_size=1, max_size=4) | st.lists(ENTRIES, min_size=1, max_size=4))
def test_a_plan_entry_can_be_copied_back(entry: Any) -> None:
    assert yaml.safe_load(as_yaml(entry)) == entry


def test_decisions_of_all_findings_in_one() -> None:
    def decided(**column: str) -> dict[str, Any]:
        return {"decide": {"tables": {"t": {"columns": {"c": column}}}}}

    before = {
        "collation": "default",
        "tables": {"t": {"columns": {"c": {"target": "d", "codec": "text", "rule": "as_text"}}}},
    }
    findings = [decided(codec="epoch_ms", type="timestamptz"), {"decide": None}, decided(codec="integer")]
    assert yaml.safe_load(together(findings, before)) == {
        "cutover_plan_overrides": {
            "collation": "default",
            "tables": {"t": {"columns": {"c": {"target": "d", "codec": "integer"}}}},
        }
    }
    assert before["tables"]["t"]["columns"]["c"]["codec"] == "text"
    assert together([{"decide": None}], before) == ""


def test_decisions_keep_what_was_decided_elsewhere() -> None:
    before = {"tables": {"t": {"columns": {"b": {"target": "x"}}, "carry": True}}}
    finding = {"decide": {"tables": {"t": {"foreign_keys": {"f": {"validate": False}}}, "u": {"target": "v"}}}}
    assert yaml.safe_load(together([finding], before))["cutover_plan_overrides"]["tables"] == {
        "t": {"columns": {"b": {"target": "x"}}, "carry": True, "foreign_keys": {"f": {"validate": False}}},
        "u": {"target": "v"},
    }
