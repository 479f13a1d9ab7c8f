# SPDX-License-Identifier: GPL-3.0-or-later
"""SELECT: what is read from where, joined, filtered, grouped and sorted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlglot import expressions as exp

from ..literals import quote
from .queries import Selected, aggregates, comparable
from .scope import Scope, Source
from .values import NULL, Untranslatable, Value, as_integer, type_of

#: Makes something in FROM under an alias: its SQL and its columns.
Readable = Callable[[str], "tuple[str, Source]"]
Columns = tuple[tuple[str, Value], ...]

_KNOWN = frozenset(
    ["expressions", "from_", "joins", "where", "group", "having", "order", "limit", "offset", "distinct", "with_"]
)
_SIDES = {
    ("", ""): "JOIN",
    ("", "INNER"): "JOIN",
    ("LEFT", ""): "LEFT JOIN",
    ("LEFT", "OUTER"): "LEFT JOIN",
    ("", "CROSS"): "CROSS JOIN",
}
_SETS: dict[type[exp.Expression], str] = {exp.Union: "UNION", exp.Except: "EXCEPT", exp.Intersect: "INTERSECT"}


@dataclass(frozen=True)
class Query:
    """A translated query and its columns, by the names that the source gives them."""

    sql: str
    columns: Columns


def derived(alias: str, columns: Columns) -> Source:
    """A query, CTE or view as something to read from."""
    made: list[tuple[str, Value]] = []
    for name, value in columns:
        sql = f"{quote(alias)}.{quote(name)}"
        shown = sql
        if value.raw and value.column is not None and value.column.codec == "uuid":
            shown = f'({sql}::text COLLATE "C")'
        elif value.raw and value.column is not None and value.column.collation:
            shown = f'({sql} COLLATE "C")'
        made.append((name, replace(value, sql=shown, raw=sql if value.raw else "", literal=False, constant=None)))
    return Source(alias, tuple(made))


class Selects:
    """Translates queries. ``readable``: tables and views by their names in lower case; may raise Untranslatable."""

    def __init__(self, readable: Callable[[str], Readable | None]) -> None:
        self._readable = readable
        #: By name in lower case: the name as it was written, and the columns.
        self._ctes: list[Mapping[str, tuple[str, Columns]]] = []

    def query(self, node: Any, outer: Scope | None = None) -> Query:
        """A query of any form. Raises Untranslatable."""
        if isinstance(node, exp.Subquery) and not node.args.get("alias"):
            return self.query(node.this, outer)
        if isinstance(node, exp.Select):
            return self._with(node, lambda: self._select(node, outer))
        if type(node) in _SETS:
            return self._with(node, lambda: self._set(node, outer))
        raise Untranslatable("is no plain SELECT")

    def _with(self, node: Any, build: Callable[[], Query]) -> Query:
        clause = node.args.get("with_")
        if clause is None:
            return build()
        if clause.args.get("recursive"):
            raise Untranslatable("uses WITH RECURSIVE")
        made: dict[str, tuple[str, Columns]] = {}
        parts: list[str] = []
        self._ctes.append(made)
        try:
            for cte in clause.expressions:
                name, given = str(cte.args["alias"].this.this), [str(c.this) for c in cte.args["alias"].columns]
                body = self.query(cte.this)
                if given and len(given) != len(body.columns):
                    raise Untranslatable(f"names {len(given)} columns of {name}, which has {len(body.columns)}")
                columns = tuple(zip(given, (v for _, v in body.columns))) if given else body.columns
                made[name.lower()] = (name, columns)
                parts.append(f"{quote(name)} ({', '.join(quote(c) for c, _ in columns)}) AS ({body.sql})")
            rest = build()
        finally:
            self._ctes.pop()
        return Query(f"WITH {', '.join(parts)} {rest.sql}", rest.columns)

    # ---------------------------------------------------------------- FROM

    def _source(self, node: Any) -> tuple[str, Source]:
        alias = node.args.get("alias")
        if alias is not None and alias.args.get("columns"):
            raise Untranslatable("renames columns in FROM")
        if any(given for key, given in node.args.items() if key not in ("this", "alias", "db")):
            raise Untranslatable(f"reads from {node.sql('sqlite')[:60]}")
        if isinstance(node, exp.Subquery):
            name = str(alias.this.this) if alias is not None else "subquery"
            inner = self.query(node.this)
            return f"({inner.sql}) AS {quote(name)}", derived(name, inner.columns)
        if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
            raise Untranslatable(f"reads from {node.sql('sqlite')[:60]}")
        schema, table = node.args.get("db"), str(node.this.this)
        if schema is not None and str(schema.this).lower() != "main":
            raise Untranslatable(f"reads from another database ({schema.this})")
        name = str(alias.this.this) if alias is not None else table
        for known in reversed(self._ctes):
            if table.lower() in known and schema is None:
                written, columns = known[table.lower()]
                return f"{quote(written)} AS {quote(name)}", derived(name, columns)
        readable = self._readable(table.lower())
        if readable is None:
            raise Untranslatable(f"reads from {table}, which is not carried")
        return readable(name)

    def _from(self, node: Any, outer: Scope | None) -> tuple[str, Scope]:
        clause = node.args.get("from_")
        if clause is None:
            return "", Scope([], outer, texts=False)
        sql, source = self._source(clause.this)
        sources = [source]
        for join in node.args.get("joins") or ():
            side, kind = str(join.args.get("side") or ""), str(join.args.get("kind") or "")
            word = _SIDES.get((side, kind))
            if word is None or join.args.get("method") or join.args.get("using"):
                raise Untranslatable(f"joins with {join.sql('sqlite')[:40]}")
            joined, source = self._source(join.this)
            sources.append(replace(source, nullable=word == "LEFT JOIN"))
            condition = join.args.get("on")
            if condition is None:
                if word == "LEFT JOIN":
                    raise Untranslatable("joins without a condition")
                sql += f" CROSS JOIN {joined}"
            else:
                scope = Scope(sources, outer, texts=False)
                word = "JOIN" if word == "CROSS JOIN" else word
                sql += f" {word} {joined} ON {Selected(scope, self).condition_of(condition)}"
        if len({s.name.lower() for s in sources}) != len(sources):
            raise Untranslatable("reads from two things of one name")
        return f" FROM {sql}", Scope(sources, outer, texts=False)

    # ---------------------------------------------------------------- SELECT

    def _select(self, node: Any, outer: Scope | None) -> Query:
        for name, given in node.args.items():
            if given and name not in _KNOWN:
                raise Untranslatable(f"uses {name.strip('_').upper()}")
        source, scope = self._from(node, outer)
        by, grouped = self._grouped(node, scope)
        context = Selected(scope, self, grouped)
        outputs = self._outputs(node, scope, context)
        sql = "SELECT "
        if node.args.get("distinct"):
            if node.args["distinct"].args.get("on"):
                raise Untranslatable("uses DISTINCT ON")
            outputs = tuple((name, comparable(value, "takes different values")) for name, value in outputs)
            sql += "DISTINCT "
        outputs = tuple((name, _output(value)) for name, value in outputs)
        sql += ", ".join(f"{_written(value)} AS {quote(name)}" for name, value in outputs) + source
        if node.args.get("where"):
            sql += f" WHERE {Selected(scope, self).condition_of(node.args['where'].this)}"
        if by:
            sql += f" GROUP BY {', '.join(by)}"
        if node.args.get("having"):
            sql += f" HAVING {context.condition_of(node.args['having'].this)}"
        distinct = bool(node.args.get("distinct"))
        return Query(sql + self._order(node, outputs, None if distinct else context) + _limit(node), outputs)

    def _grouped(self, node: Any, scope: Scope) -> tuple[list[str], frozenset[str] | None]:
        """The columns of GROUP BY, and they with what depends on them; None when the query does not aggregate."""
        group = node.args.get("group")
        if group is None:
            whole = any(map(aggregates, node.expressions)) or node.args.get("having")
            return [], frozenset() if whole else None
        if any(given for name, given in group.args.items() if name != "expressions"):
            raise Untranslatable("groups by more than columns")
        named = {n.alias.lower(): n.this for n in node.expressions if isinstance(n, exp.Alias)}
        found: set[str] = set()
        for item in group.expressions:
            if isinstance(item, exp.Literal) and not item.args.get("is_string"):
                at = int(str(item.this)) - 1
                item = node.expressions[at] if 0 <= at < len(node.expressions) else item
                item = item.unalias()
            elif isinstance(item, exp.Column) and not item.table and item.name.lower() in named:
                other = named[item.name.lower()]
                if not isinstance(other, exp.Column) or other.name.lower() != item.name.lower():
                    raise Untranslatable(f"groups by {item.name}, which may be a column or an alias")
                item = other
            if not isinstance(item, exp.Column):
                raise Untranslatable("groups by an expression")
            found.add(comparable(scope.column(item), "groups").raw)
        if "" in found:
            raise Untranslatable("groups by an expression")
        by = sorted(found)
        for source in scope.sources:
            raws = {name: value.raw for name, value in source.columns}
            if source.key and all(raws[name] in found for name in source.key):
                # The key of a table says what is in the rest of its row; PostgreSQL knows that too.
                found |= set(raws.values())
        return by, frozenset(found)

    def _outputs(self, node: Any, scope: Scope, context: Selected) -> Columns:
        found: list[tuple[str, Value]] = []
        for number, item in enumerate(node.expressions, 1):
            star = isinstance(item, exp.Star) or (isinstance(item, exp.Column) and isinstance(item.this, exp.Star))
            if star:
                if any(item.args.get(name) for name in ("except_", "except", "replace", "rename")):
                    raise Untranslatable("uses * with exceptions")
                table = item.table.lower() if isinstance(item, exp.Column) else None
                for source in scope.sources:
                    if table is None or source.name.lower() == table:
                        for name, value in source.columns:
                            context.check_grouped(value, name)
                            found.append((name, replace(value, nullable=value.nullable or source.nullable)))
                continue
            value = context.value(item.this if isinstance(item, exp.Alias) else item)
            name = item.alias if isinstance(item, exp.Alias) else item.name if isinstance(item, exp.Column) else ""
            found.append((name or f"column{number}", value))
        if not found:
            raise Untranslatable("has no columns")
        return tuple(found)

    def _set(self, node: Any, outer: Scope | None) -> Query:
        left, right = self.query(node.this, outer), self.query(node.expression, outer)
        if len(left.columns) != len(right.columns):
            raise Untranslatable("joins queries of different width")
        word = _SETS[type(node)] + ("" if node.args.get("distinct") else " ALL")
        columns: list[tuple[str, Value]] = []
        for (name, mine), (_, theirs) in zip(left.columns, right.columns):
            for value in (mine, theirs):
                if node.args.get("distinct"):
                    comparable(value, "takes different values")
            types = {_type(v) for v in (mine, theirs)}
            if len(types) != 1:
                raise Untranslatable("joins queries whose columns have different types")
            same = mine.column is not None and theirs.column is not None and mine.column.codec == theirs.column.codec
            made = replace(mine, literal=False, constant=None, in_c=mine.in_c and theirs.in_c)
            columns.append((name, made if same else replace(made.known(), column=None, raw="")))
            if mine.raw and not same:
                theirs.known()
        outputs = tuple(columns)
        sql = f"({left.sql}) {word} ({right.sql})"
        return Query(sql + self._order(node, outputs, None) + _limit(node), outputs)

    def _order(self, node: Any, outputs: Columns, context: Selected | None) -> str:
        clause = node.args.get("order")
        if clause is None:
            return ""
        parts: list[str] = []
        names = [name.lower() for name, _ in outputs]
        for item in clause.expressions:
            inner = item.this
            if isinstance(inner, exp.Literal) and not inner.args.get("is_string"):
                at = int(str(inner.this)) - 1
            elif isinstance(inner, exp.Column) and not inner.table and names.count(inner.name.lower()) == 1:
                at = names.index(inner.name.lower())
            else:
                at = -1
            if at >= len(outputs) or (at < 0 and context is None):
                raise Untranslatable("sorts by an expression")
            value = outputs[at][1] if at >= 0 else context.value(inner) if context is not None else NULL
            order = "DESC" if item.args.get("desc") else "ASC"
            nulls = "FIRST" if item.args.get("nulls_first") else "LAST"
            parts.append(f"{_sorted_by(value, at)} {order} NULLS {nulls}")
        return f" ORDER BY {', '.join(parts)}"


def _sorted_by(value: Value, at: int) -> str:
    value = comparable(value, "sorts")
    if value.kind.startswith("key:"):
        raise Untranslatable("sorts by keys that become UUIDs")
    if at >= 0:
        if value.kind == "text" and not value.in_c and not value.literal:
            raise Untranslatable("sorts by a text of another collation")
        return str(at + 1)
    return value.bytewise() if value.kind == "text" else value.sql


def _limit(node: Any) -> str:
    made = ""
    for name in ("limit", "offset"):
        clause = node.args.get(name)
        if clause is None:
            continue
        number = clause.expression
        if not isinstance(number, exp.Literal) or not str(number.this).isdigit() or clause.args.get("offset"):
            raise Untranslatable(f"uses {name.upper()} with an expression")
        made += f" {name.upper()} {number.this}"
    return made


def _output(value: Value) -> Value:
    """A value as a column of the result: comparisons are 1 or 0, as in SQLite; columns keep their type."""
    if value.kind == "boolean" and not (value.raw and value.column):
        return as_integer(value)
    return value


def _written(value: Value) -> str:
    if value.is_null:
        return "NULL::text"
    if value.raw and value.column:
        return value.raw
    return f"{value.sql}::text" if value.literal and value.kind == "text" else value.sql


def _type(value: Value) -> str:
    return value.column.type if value.column else type_of(value.kind)
