# SPDX-License-Identifier: GPL-3.0-or-later
"""Proof of a batch: its rows read back from PostgreSQL against the source's, each side computing its own digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ..canonical import Canonical
from ..capture import changes as capture
from ..capture.changes import Key
from ..errors import CutoverError, Unfit
from ..plan.model import Plan, PlanTable
from ..quarantine import Sieve
from ..ranges import Range, read
from ..target.rows import relation, row_form
from .stage import NUMBER, Stage, row_name_of

#: Rows whose digests are compared as one.
_GROUP = 2_000
_SHOWN = 5


class Proofs:
    """Compares batches of one plan; keeps what it has compiled for each table."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._canonical: dict[str, Canonical] = {}

    def _of(self, table: PlanTable) -> Canonical:
        found = self._canonical.get(table.name)
        if found is None:
            found = self._canonical[table.name] = Canonical(table)
        return found

    def prepare(self, table: PlanTable) -> None:
        """Compile what comparing a table needs."""
        self._of(table)

    def present(self, source: Any, cursor: Any, stage: Stage, keys: Sequence[Key]) -> None:
        """Compare the rows of ``keys``, which are those in the temporary table in their order. Raises CutoverError."""
        forms = dict(self._source(source, stage.table, keys))
        groups = []
        for at in range(0, len(keys), _GROUP):
            whole = b"".join(forms.get(capture.identity(key), b"") for key in keys[at : at + _GROUP])
            groups.append((len(keys[at : at + _GROUP]), hashlib.sha256(whole).hexdigest()))
        cursor.execute(
            "SELECT count(*), encode(sha256(string_agg(form, ''::bytea ORDER BY n)), 'hex')"
            f" FROM ({self._forms(stage)}) AS forms GROUP BY (n - 1) / {_GROUP} ORDER BY (n - 1) / {_GROUP}"
        )
        if cursor.fetchall() == groups:
            return
        cursor.execute(f"SELECT n, encode(sha256(form), 'hex') FROM ({self._forms(stage)}) AS forms ORDER BY n")
        held = dict(cursor.fetchall())
        wrong = [
            key
            for n, key in enumerate(keys, 1)
            if held.get(n) != hashlib.sha256(forms.get(capture.identity(key), b"")).hexdigest()
        ]
        raise _differs(stage.table, wrong, "are not in PostgreSQL as the source has them")

    def _forms(self, stage: Stage) -> str:
        # Under names of their own, so that those in the form of a row are the table's.
        keys = ", ".join(f'{name} AS "pg-cutover key {at}"' for at, name in enumerate(stage.key_names))
        same = " AND ".join(f't.{name} = s."pg-cutover key {at}"' for at, name in enumerate(stage.key_names))
        return (
            f'SELECT s."pg-cutover n" AS n, {row_form(stage.table)} AS form FROM (SELECT row_number() OVER (ORDER BY {NUMBER})'
            f' AS "pg-cutover n", {keys} FROM {stage.rows}) AS s JOIN {stage.target} AS t ON {same}'
        )

    def _source(self, source: Any, table: PlanTable, keys: Sequence[Key]) -> Iterator[tuple[Any, bytes]]:
        # Columns that PostgreSQL computes itself are compared too.
        every = replace(table, columns=tuple(replace(column, generated=None) for column in table.columns))
        at = [[column.name for column in table.columns].index(name) for name in table.key]
        canonical = self._of(table)
        for row in capture.rows(source, every, keys):
            key = tuple(row[i] for i in at)
            try:
                yield capture.identity(key), canonical.row(row)
            except Unfit as reason:
                raise CutoverError(f"table {table.name}: a row that was applied is refused now ({reason}).") from None

    def absent(self, cursor: Any, stage: Stage, keys: Sequence[Key]) -> None:
        """See that no row has one of the vanished keys. Raises CutoverError."""
        kept = relation(self._plan, stage.table)
        alias = "" if kept.endswith('"') and kept.startswith("(") else " AS t"
        name = '"pg-cutover kept"' if not alias else "t"
        listed = ", ".join(f"g.{key}::text" for key in stage.key_names)
        cursor.execute(
            f"SELECT {listed} FROM {stage.gone} AS g WHERE EXISTS (SELECT FROM {kept}{alias} WHERE {stage.same(name, 'g')})"
            f" LIMIT {_SHOWN}"
        )
        found = cursor.fetchall()
        if found:
            names = ", ".join(row_name_of(stage.table, row) for row in found)
            raise CutoverError(
                f"table {stage.table.name}: rows that the source does not have are in PostgreSQL: {names}."
            )

    def whole(self, source: Any, cursor: Any, table: PlanTable) -> None:
        """Compare all rows of a table without a key. Raises CutoverError."""
        canonical = self._of(table)
        left: dict[bytes, int] = {}
        rows = read(source, table, Range(table.name, 0, None, None))
        for row in Sieve(table).passed(rows):
            digest = hashlib.sha256(canonical.row(row)).digest()
            left[digest] = left.get(digest, 0) + 1
        cursor.execute(f"SELECT sha256({row_form(table)}) FROM {relation(self._plan, table)}")
        for (digest,) in cursor:
            left[bytes(digest)] = left.get(bytes(digest), 0) - 1
        different = sum(abs(count) for count in left.values())
        if different:
            raise CutoverError(
                f"table {table.name} (without a key): {different} rows are not the same in the source and in PostgreSQL."
            )


def _differs(table: PlanTable, keys: Sequence[Key], what: str) -> CutoverError:
    shown = ", ".join(
        row_name_of(table, [bytes(v).decode("utf-8", "replace") if v.__class__ is bytearray else v for v in key])
        for key in keys[:_SHOWN]
    )
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return CutoverError(f"table {table.name}: rows {what}: {shown}{more}.")
