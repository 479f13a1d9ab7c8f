# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of the schemas in which migrations keep their own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.own import is_kept, kept_prefix, of_others, own_schema, quarantine_prefix
from cutover.plan.names import too_long

#: Names that a plan may choose: not those that begin like the migration's own.
SCHEMAS = (
    st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=63)
    | st.from_regex(r"[a-z_]{1,8}(_[0-9]{1,3}){0,3}", fullmatch=True)
    | st.from_regex(r"[a-z]{40,63}", fullmatch=True)
    | st.sampled_from(["for_a", "kept_1", "kept_for_a_1", "a", "a_1", "a_1_1", "public", "Public"])
).filter(lambda name: not too_long(name) and not name.startswith(("pg_", "pgcutover")))


@pytest.mark.parametrize(
    ("schema", "own"),
    [
        ("public", "pgcutover"),
        ("acme", "pgcutover_for_acme"),
        ("Acme & Söhne", "pgcutover_for_Acme & Söhne"),
        ("a" * 49, "pgcutover_for_" + "a" * 49),
        ("a" * 50, "pgcutover_for_" + "a" * 32 + "_160b4e433e384e05"),
        ('100% "a"', "pgcutover_for_100_ _a__8e545a0f0dc20956"),
    ],
)
def test_names(schema: str, own: str) -> None:
    assert own_schema(schema) == own


@given(SCHEMAS)
def test_a_name_fits_and_is_always_the_same(schema: str) -> None:
    own = own_schema(schema)
    assert own == own_schema(schema)
    assert not too_long(own)
    assert (own == "pgcutover") == (schema == "public")
    assert not own.startswith(("pgcutover_kept_", "pgcutover_quarantine_"))
    assert not {'"', "'", "%", "\\", "$"}.intersection(own)
    for prefix in (kept_prefix(schema), quarantine_prefix(schema)):
        assert not too_long(f"{prefix}999999")
    assert is_kept(f"{kept_prefix(schema)}12", schema)


@given(SCHEMAS, SCHEMAS, st.integers(1, 999_999))
def test_two_schemas_have_nothing_in_common(one: str, other: str, number: int) -> None:
    if one == other:
        return
    assert own_schema(one) != own_schema(other)
    assert not is_kept(f"{kept_prefix(one)}{number}", other)
    assert not is_kept(own_schema(one), other)
    assert kept_prefix(one) != quarantine_prefix(other)


def test_what_is_other_migrations_in_a_database() -> None:
    there = {
        *("public", "acme", "globex", "stranger", "pg_catalog", "pgcutover", "pgcutover_kept_1", "pgcutover_mine"),
        *("pgcutover_for_acme", "pgcutover_for_globex", "pgcutover_kept_for_acme_1", "pgcutover_quarantine_for_gone_1"),
    }
    kept = {name for name in there if "_for_" in name}
    assert of_others(there, "public") == {"acme", "globex", *kept}
