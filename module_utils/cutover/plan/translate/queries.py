# SPDX-License-Identifier: GPL-3.0-or-later
"""Expressions of a query: aggregates, grouped columns and queries inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlglot import expressions as exp

from .compare import compare
from .expressions import Expressions
from .scope import Scope
from .values import Untranslatable, Value, as_integer, boolean, truth

if TYPE_CHECKING:
    from .select import Query, Selects

_AGGREGATES = (exp.Count, exp.Sum, exp.Max, exp.Min, exp.Avg)


def aggregates(node: Any) -> bool:
    """True when a query has an aggregate of its own, not only one in a query inside."""
    if isinstance(node, _AGGREGATES):
        return True
    if isinstance(node, exp.Query):
        return False
    return any(aggregates(child) for child in node.iter_expressions())


def comparable(value: Value, what: str) -> Value:
    """A value of which both databases say alike whether two are equal. Raises Untranslatable."""
    value = value.known()
    if value.raw and value.column is not None and value.column.collation:
        raise Untranslatable(f"{what} of column {value.column.name}, which compares without case by the plan")
    if value.kind == "text" and value.collation != "BINARY" and (value.bearing or value.explicit):
        raise Untranslatable(f"{what} by the collation {value.collation}")
    return value


class Selected(Expressions):
    """Expressions over one FROM clause. ``grouped``: the columns of GROUP BY in a query that aggregates, else None."""

    def __init__(self, scope: Scope, selects: Selects, grouped: frozenset[str] | None = None) -> None:
        super().__init__(scope)
        self._selects = selects
        self._grouped = grouped
        self._inside = False

    def handlers(self) -> dict[type[exp.Expression], Callable[[Any, Any], Value]]:
        return {**super().handlers(), **_QUERY_HANDLERS}

    def condition_of(self, node: Any) -> str:
        """The SQL of a condition."""
        return truth(self.value(node))

    def check_grouped(self, value: Value, name: str) -> None:
        """Raise Untranslatable for a column that has no one value in its group."""
        if self._grouped is not None and not self._inside and value.raw not in self._grouped:
            raise Untranslatable(f"names {name}, which is neither grouped nor aggregated")

    def _column(self, node: Any) -> Value:
        value = self.scope.column(node)
        self.check_grouped(value, node.sql("sqlite"))
        return value

    def _inner(self, query: Any) -> Query:
        if self._grouped is not None:
            raise Untranslatable("has a query inside of one that aggregates")
        return self._selects.query(query, self.scope)

    def _argument(self, node: Any) -> Value:
        if self._grouped is None or self._inside:
            raise Untranslatable("uses an aggregate where none may stand")
        self._inside = True
        try:
            return self.value(node)
        finally:
            self._inside = False

    def _count(self, node: Any) -> Value:
        if isinstance(node.this, exp.Star):
            return Value("count(*)", "integer")
        if isinstance(node.this, exp.Distinct):
            [only] = node.this.expressions if len(node.this.expressions) == 1 else [None]
            if only is None:
                raise Untranslatable("counts several columns")
            value = comparable(self._argument(only), "counts different values")
            return Value(f"count(DISTINCT {value.raw or value.sql})", "integer")
        value = self._argument(node.this)
        return Value(f"count({value.raw or value.sql})", "integer")

    def _sum(self, node: Any) -> Value:
        value = as_integer(self._argument(node.this).known())
        if value.kind != "integer":
            raise Untranslatable(f"sums {value.kind.split(':')[0]}, which SQLite rounds as it goes")
        return Value(f"sum({value.sql})::bigint", "integer")

    def _average(self, node: Any) -> Value:
        value = as_integer(self._argument(node.this).known())
        if value.kind != "integer":
            raise Untranslatable(f"takes the average of {value.kind.split(':')[0]}, which SQLite rounds as it goes")
        return Value(f"(sum({value.sql})::double precision / NULLIF(count({value.sql}), 0))", "real")

    def _extreme_of_all(self, node: Any) -> Value:
        name = "max" if isinstance(node, exp.Max) else "min"
        value = as_integer(comparable(self._argument(node.this), f"takes the {name}"))
        if value.kind in ("blob", "null") or value.kind.startswith("key:"):
            raise Untranslatable(f"takes the {name} of {value.kind.split(':')[0]}")
        sql = value.bytewise() if value.kind == "text" else value.sql
        return Value(f"{name}({sql})", value.kind, column=value.column, in_c=value.kind == "text", wide=value.wide)

    def _exists(self, node: Any) -> Value:
        return boolean(f"EXISTS ({self._inner(node.this).sql})")

    def _single(self, node: Any) -> Value:
        query = node.this
        one_row = (
            isinstance(query, exp.Select) and not query.args.get("group") and any(map(aggregates, query.expressions))
        )
        if not one_row or node.args.get("alias"):
            raise Untranslatable("uses a query as a value that may have several rows")
        result = self._inner(query)
        if len(result.columns) != 1:
            raise Untranslatable("uses a query of several columns as a value")
        value = result.columns[0][1].known()
        return Value(f"({result.sql})", value.kind, column=value.column, in_c=value.in_c)

    def _in_query(self, node: Any) -> Value:
        query = node.args.get("query")
        if query is None:
            return self._in(node)
        value, result = self.value(node.this), self._inner(query.this)
        if len(result.columns) != 1:
            raise Untranslatable("compares with a query of several columns")
        other = result.columns[0][1]
        compare(value, "=", other)
        comparable(value, "compares")
        comparable(other, "compares")
        mine, theirs = (v.column.type if v.raw and v.column else v.kind for v in (value, other))
        if mine != theirs and {value.kind, other.kind} != {"integer"}:
            raise Untranslatable("compares with a query of another type")
        return boolean(f"({value.raw or value.sql} IN ({result.sql}))")


_QUERY_HANDLERS: dict[type[exp.Expression], Callable[[Any, Any], Value]] = {
    exp.Column: Selected._column,
    exp.Count: Selected._count,
    exp.Sum: Selected._sum,
    exp.Avg: Selected._average,
    exp.Max: Selected._extreme_of_all,
    exp.Min: Selected._extreme_of_all,
    exp.Exists: Selected._exists,
    exp.Subquery: Selected._single,
    exp.In: Selected._in_query,
}
