# SPDX-License-Identifier: GPL-3.0-or-later
"""Views: those whose every part means the same in PostgreSQL, in an order in which each finds what it needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..source.model import OtherObject, Table
from ..source.profile import TableProfile
from ..source.sqltokens import view_select
from .literals import quote
from .model import NotCarried, PlanTable, PlanView
from .names import MOST_COLUMNS, Renamed, settle
from .overrides import Overrides
from .translate import Query, Readable, Selects, Source, Untranslatable, derived, parse, values_of

_HINT = "create the view by hand in PostgreSQL after the cutover"


def view_names(
    views: list[OtherObject], decided: Overrides, taken: Iterable[str]
) -> tuple[dict[str, str], list[Renamed]]:
    """The names of views in PostgreSQL, and those that had to be changed."""
    wanted = {view.name: str(decided.view(view.name).get("target", view.name)) for view in views}
    chosen = {view.name for view in views if "target" in decided.view(view.name)}
    return settle(wanted, chosen, "view", taken=list(taken))


class Views:
    """Plans the views of a source. ``targets``: their names in PostgreSQL."""

    def __init__(
        self,
        views: list[OtherObject],
        targets: Mapping[str, str],
        tables: Mapping[str, tuple[Table, PlanTable]],
        profiles: Mapping[str, TableProfile],
        decided: Overrides,
    ) -> None:
        self._targets = targets
        self._views = {view.name.lower(): view for view in views}
        self._tables = {name.lower(): both for name, both in tables.items()}
        self._profiles = profiles
        self._decided = decided
        self._done: dict[str, PlanView | Untranslatable | None] = {}
        self._columns: dict[str, Query] = {}
        self.planned: list[PlanView] = []
        self.not_carried: list[NotCarried] = []
        for view in views:
            self._plan(view)
        for view in views:
            reason = self._done[view.name.lower()]
            if isinstance(reason, Untranslatable):
                self.not_carried.append(NotCarried(view.name, "view", str(reason), _HINT))

    def _plan(self, view: OtherObject) -> None:
        name = view.name.lower()
        if name in self._done:
            return
        # Seen while it is being planned, a view needs itself.
        self._done[name] = None
        try:
            made, query = self._translated(view)
        except Untranslatable as reason:
            self._done[name] = reason
        else:
            self._done[name] = made
            self._columns[name] = query
            self.planned.append(made)

    def _translated(self, view: OtherObject) -> tuple[PlanView, Query]:
        if not self._decided.view(view.name).get("carry", True):
            raise Untranslatable("the plan says so")
        select = view_select(view.sql)
        if select is None or not view.columns:
            raise Untranslatable("cannot be read, also not by SQLite")
        query = Selects(self._readable).query(parse(select))
        if len(view.columns) != len(query.columns) or len(view.columns) > MOST_COLUMNS:
            raise Untranslatable("has columns that cannot be told")
        names, _ = settle({name: name for name in view.columns}, (), "column")
        columns = tuple(names[name] for name in view.columns)
        if len(columns) != len(set(columns)):
            raise Untranslatable("has several columns of one name")
        read = tuple((name, value) for name, (_, value) in zip(columns, query.columns))
        return PlanView(view.name, self._targets[view.name], columns, query.sql), Query(query.sql, read)

    def _readable(self, name: str) -> Readable | None:
        schema = quote(self._decided.schema)
        if name in self._tables:
            table, planned = self._tables[name]

            def of_table(alias: str) -> tuple[str, Source]:
                in_c = self._decided.collation == "C"
                columns = values_of(table, planned.columns, self._profiles[table.name], in_c, alias)
                source = Source(alias, columns, key=planned.primary_key)
                return f"{schema}.{quote(planned.target)} AS {quote(alias)}", source

            return of_table
        view = self._views.get(name)
        if view is None:
            return None
        self._plan(view)
        if name not in self._columns:
            raise Untranslatable(f"needs the view {view.name}, which is not carried")
        target, columns = self._targets[view.name], self._columns[name].columns
        return lambda alias: (f"{schema}.{quote(target)} AS {quote(alias)}", derived(alias, columns))
