# SPDX-License-Identifier: GPL-3.0-or-later
"""Every name that a plan's overrides may hold, misspelt: the run stops and names the nearest valid one.

The names are those that the engine itself knows, so that a new codec or rule is tried too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from conftest import MakeSqlite
from cutover.codecs import CODECS
from cutover.errors import PlanError
from cutover.plan import overrides
from cutover.plan.choose import is_temporal
from cutover.plan.derive import derive
from cutover.source import model as source_model
from cutover.source import profile as source_profile
from cutover.source.survey import survey
from support.engine import planned

SCHEMA = (
    "CREATE TABLE customer (id INTEGER PRIMARY KEY, email VARCHAR(20), paid_at DATETIME);"
    "CREATE TABLE invoice (id INTEGER PRIMARY KEY, customer INT REFERENCES customer, CHECK (customer > 0));"
    "CREATE INDEX invoice_customer ON invoice (customer); CREATE VIEW paying AS SELECT id FROM customer"
)


def table(entry: dict[str, Any]) -> dict[str, Any]:
    return {"tables": {"customer": entry}}


def column(entry: dict[str, Any]) -> dict[str, Any]:
    return table({"columns": {"email": entry}})


def misspelt(name: str, valid: list[str]) -> list[str]:
    """Slips of the finger: a letter left out, one doubled, two exchanged, the wrong case."""
    middle = max(1, len(name) // 2)
    slips = [
        name[:middle] + name[middle + 1 :],
        name[:middle] + name[middle] + name[middle:] if middle < len(name) else name * 2,
        name[: middle - 1] + name[middle] + name[middle - 1] + name[middle + 1 :] if middle < len(name) else name * 2,
        # Names that differ by case alone are equally near then.
        *([name.upper()] if [other.lower() for other in valid].count(name.lower()) == 1 else []),
    ]
    return [slip for slip in dict.fromkeys(slips) if slip not in valid and len(slip) > 2]


def slips() -> Iterator[tuple[Any, str, str]]:
    """(overrides with a wrong name, the wrong name, the right one)."""
    places: list[tuple[list[str], Any]] = [
        (list(overrides._TOP_KEYS), lambda slip: {slip: None}),
        (["customer", "invoice"], lambda slip: {"tables": {slip: {"carry": False}}}),
        (list(overrides._TABLE_KEYS), lambda slip: table({slip: None})),
        (["id", "email", "paid_at"], lambda slip: table({"columns": {slip: {"not_null": True}}})),
        (list(overrides._COLUMN_KEYS), lambda slip: column({slip: None})),
        (list(CODECS), lambda slip: column({"codec": slip})),
        (["fail", "quarantine"], lambda slip: column({"refused": slip})),
        (["paying"], lambda slip: {"views": {slip: {"carry": False}}}),
        (["invoice_customer_fkey"], lambda slip: {"tables": {"invoice": {"foreign_keys": {slip: {"carry": False}}}}}),
        (["invoice_customer"], lambda slip: {"tables": {"invoice": {"indexes": {slip: {"carry": False}}}}}),
        *(
            (list(codec.rules), lambda slip, name=name: column({"codec": name, "rules": [slip]}))
            for name, codec in CODECS.items()
        ),
    ]
    for valid, make in places:
        for name in valid:
            for slip in misspelt(name, valid):
                yield make(slip), slip, name


def test_nearest_name_is_named_for_every_slip(make_sqlite: MakeSqlite) -> None:
    facts = survey(str(make_sqlite(SCHEMA)), is_temporal, 1)
    source = source_model.from_dict(facts["description"])
    profiles = {name: source_profile.from_dict(data) for name, data in facts["profiles"].items()}
    tried = 0
    for entry, slip, right in slips():
        with pytest.raises(PlanError) as refused:
            derive("test", source, profiles, entry)
        assert f"{slip!r} is unknown. Did you mean {right!r}?" in refused.value.message, entry
        tried += 1
    assert tried > 400


@pytest.mark.parametrize("wrong", ["zzz", "", "🐘"])
def test_name_that_is_near_to_none_lists_them_all(make_sqlite: MakeSqlite, wrong: str) -> None:
    with pytest.raises(PlanError, match=r"is unknown\. Valid: customer, invoice"):
        planned(make_sqlite(SCHEMA), {"tables": {wrong: {}}})
