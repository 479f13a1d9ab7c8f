# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of the source and of tables that exist: what is matched is unambiguous, whatever the names are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cutover.plan.bookkeeping import owner
from cutover.plan.matching import match

NAMES = st.lists(st.text("aA_b", min_size=1, max_size=4), unique=True, max_size=8)


@given(NAMES, NAMES, st.randoms(use_true_random=False))
def test_each_target_is_taken_once_and_the_order_of_names_does_not_matter(
    names: list[str], targets: list[str], chance: object
) -> None:
    found = match(names, targets, {})
    assert len(set(found.by_name.values())) == len(found.by_name)
    assert set(found.by_name) | set(found.missing) == set(names)
    # What is spelled alike goes together; a guess is never between names that both could be meant.
    assert all(found.by_name[name] == name for name in names if name in targets)
    for name, target in found.guessed:
        assert name.lower().replace("_", "") == target.lower().replace("_", "")
        assert name != target
    again = match(sorted(names, reverse=True), sorted(targets, reverse=True), {})
    assert again.by_name == found.by_name


def test_what_the_plan_says_comes_first() -> None:
    found = match(["a", "b"], ["a", "B"], {"b": "a", "a": "B"})
    assert found.by_name == {"a": "B", "b": "a"}
    assert match(["a"], ["b"], {"a": "c"}).missing == {"a": []}


def test_what_is_bookkeeping() -> None:
    assert owner("SequelizeMeta") == "Sequelize"
    assert owner("ALEMBIC_VERSION") == "Alembic"
    assert owner("orders") is None
    assert owner("orders", ["orders"]) == "named in the plan"
