# SPDX-License-Identifier: GPL-3.0-or-later
"""The white list: one handler per node of the tree; whatever has none is not translated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlglot import expressions as exp

from . import functions, patterns
from .compare import compare
from .parse import parse_expression
from .scope import Scope
from .values import (
    NULL,
    NUMBERS,
    Untranslatable,
    Value,
    as_integer,
    blob,
    boolean,
    integer,
    real,
    text,
    truth,
)

_COMPARISONS: dict[type[exp.Expression], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM",
    exp.NullSafeNEQ: "IS DISTINCT FROM",
}
_ARITHMETIC: dict[type[exp.Expression], str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%"}
_FUNCTIONS: dict[type[exp.Expression], tuple[str, ...]] = {
    # What a node may hold; anything else set there is a form that is not known.
    exp.Literal: ("this", "is_string"),
    exp.Div: ("this", "expression", "typed", "safe"),
    exp.DPipe: ("this", "expression", "safe"),
    exp.In: ("this", "expressions", "query"),
    exp.Count: ("this", "big_int"),
    exp.Subquery: ("this", "alias"),
    exp.Like: ("this", "expression", "negate"),
    exp.Cast: ("this", "to"),
    exp.Trim: ("this", "expression", "position"),
    exp.Replace: ("this", "expression", "replacement"),
    exp.Case: ("this", "ifs", "default"),
    exp.If: ("this", "true", "false"),
    exp.Substring: ("this", "start", "length"),
    exp.StrPosition: ("this", "substr"),
    exp.Between: ("this", "low", "high"),
    exp.Coalesce: ("this", "expressions"),
    exp.Greatest: ("this", "expressions", "ignore_nulls"),
    exp.Least: ("this", "expressions", "ignore_nulls"),
    exp.Column: ("this", "table"),
    exp.Anonymous: ("this", "expressions"),
}


class Expressions:
    """Translates expressions over one scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        #: Columns that are not NULL where it matters, such as x in ``x IS NULL OR json_valid(x)``.
        self._present: set[str] = set()

    def translate(self, sql: str) -> Value:
        """The value of an expression given as text. Raises Untranslatable."""
        return self.value(parse_expression(sql))

    def condition(self, sql: str) -> str:
        """The SQL of a condition given as text. Raises Untranslatable."""
        return truth(self.translate(sql))

    def value(self, node: exp.Expression) -> Value:
        """The value of a node. Raises Untranslatable."""
        handler = self.handlers().get(type(node))
        known = _FUNCTIONS.get(type(node), ("this", "expression"))
        if handler is None or any(given and name not in known for name, given in node.args.items()):
            raise Untranslatable(f"holds {_shown(node)}, which has no exact counterpart")
        return handler(self, node)

    def handlers(self) -> dict[type[exp.Expression], Callable[[Any, Any], Value]]:
        """What is known, by node."""
        return _HANDLERS

    # ---------------------------------------------------------------- leaves

    def _column(self, node: Any) -> Value:
        return self.scope.column(node)

    def _literal(self, node: Any) -> Value:
        content = str(node.this)
        if node.args.get("is_string"):
            return text(content)
        return integer(int(content)) if content.isdigit() and content.isascii() else real(content)

    def _hex(self, node: Any) -> Value:
        return blob(bytes.fromhex(str(node.this)))

    def _truth_value(self, node: Any) -> Value:
        # SQLite takes TRUE and FALSE for columns where there are such.
        return self.scope.named("true" if node.this else "false") or integer(1 if node.this else 0)

    def _null(self, _node: Any) -> Value:
        return NULL

    def _paren(self, node: Any) -> Value:
        return self.value(node.this)

    # ---------------------------------------------------------------- operators

    def _compared(self, node: Any) -> Value:
        return compare(self.value(node.this), _COMPARISONS[type(node)], self.value(node.expression))

    def _is(self, node: Any) -> Value:
        value = self.value(node.this)
        if isinstance(node.expression, exp.Null):
            return boolean(f"({value.raw or value.sql} IS NULL)")
        if isinstance(node.expression, exp.Boolean):
            return boolean(f"({truth(value)} IS {'TRUE' if node.expression.this else 'FALSE'})")
        raise Untranslatable(f"holds {_shown(node)}, which has no exact counterpart")

    def _not(self, node: Any) -> Value:
        if isinstance(node.this, exp.Is) and isinstance(node.this.expression, exp.Null):
            value = self.value(node.this.this)
            return boolean(f"({value.raw or value.sql} IS NOT NULL)")
        return boolean(f"(NOT {truth(self.value(node.this))})")

    def _and(self, node: Any) -> Value:
        return boolean(f"({truth(self.value(node.this))} AND {truth(self.value(node.expression))})")

    def _or(self, node: Any) -> Value:
        before = set(self._present)
        for side in (node.this, node.expression):
            side = side.unnest()
            if isinstance(side, exp.Is) and isinstance(side.expression, exp.Null):
                # Where it is NULL the whole is true, whatever the other side says.
                self._present.add(side.this.unnest().sql("sqlite"))
        try:
            return boolean(f"({truth(self.value(node.this))} OR {truth(self.value(node.expression))})")
        finally:
            self._present = before

    def _between(self, node: Any) -> Value:
        value, low, high = (self.value(node.args[name]) for name in ("this", "low", "high"))
        return boolean(f"({compare(value, '>=', low).sql} AND {compare(value, '<=', high).sql})")

    def _in(self, node: Any) -> Value:
        value = self.value(node.this)
        items = [self.value(item) for item in node.expressions]
        if not items or not all(item.literal for item in items):
            raise Untranslatable("uses IN with something else than a list of constants")
        alike = [compare(value, "=", item) for item in items]
        if len(alike) == 1:
            return alike[0]
        front = f"({value.sql} = "
        if value.kind == "text" and all(a.sql.startswith(front) for a in alike):
            return boolean(f"({value.sql} IN ({', '.join(a.sql[len(front) : -1] for a in alike)}))")
        return boolean("(" + " OR ".join(a.sql for a in alike) + ")")

    def _arithmetic(self, node: Any) -> Value:
        operator = _ARITHMETIC[type(node)]
        left, right = (as_integer(self.value(side).known()) for side in (node.this, node.expression))
        if left.is_null or right.is_null:
            return NULL
        kinds = {left.kind, right.kind}
        if not kinds <= {"integer", "real"}:
            raise Untranslatable(f"calculates with {sorted(k.split(':')[0] for k in kinds - {'integer', 'real'})[0]}")
        if "real" in kinds and operator == "%":
            raise Untranslatable("uses % of reals, which SQLite cuts to integers")
        first, divisor = left.sql, right.sql
        if kinds == {"integer"} and not (left.wide or right.wide):
            first = left.bigint()
        if operator in ("/", "%") and not (right.literal and right.constant):
            # SQLite divides by nothing to NULL, PostgreSQL to an error.
            divisor = f"NULLIF({divisor}, 0)"
        kind = "real" if "real" in kinds else "integer"
        return Value(f"({first} {operator} {divisor})", kind)

    def _negative(self, node: Any) -> Value:
        value = as_integer(self.value(node.this).known())
        if value.literal and isinstance(value.constant, int):
            return integer(-value.constant)
        if value.literal and isinstance(value.constant, float):
            return real(repr(-value.constant))
        if value.kind not in NUMBERS - {"numeric"}:
            raise Untranslatable(f"takes the negative of {value.kind}")
        return Value(f"(- {value.bigint() if value.kind == 'integer' else value.sql})", value.kind)

    def _concatenated(self, node: Any) -> Value:
        parts = [_as_text(self.value(side)) for side in (node.this, node.expression)]
        in_c = any(p.in_c for p in parts) and all(p.in_c or p.literal for p in parts)
        return Value(f"({parts[0].sql} || {parts[1].sql})", "text", in_c=in_c)

    def _collated(self, node: Any) -> Value:
        value = self.value(node.this)
        name = str(getattr(node.expression, "this", node.expression)).upper()
        if value.known().kind != "text":
            return value
        return replace(value, collation=name, explicit=True)

    def _like(self, node: Any) -> Value:
        made = patterns.like(self.value(node.this), self.value(node.expression), None)
        return boolean(f"(NOT {made.sql})") if node.args.get("negate") else made

    def _escape(self, node: Any) -> Value:
        like, escape = node.this, self.value(node.expression)
        if not isinstance(like, exp.Like) or not isinstance(escape.constant, str):
            raise Untranslatable("uses ESCAPE with something else than LIKE and a constant")
        made = patterns.like(self.value(like.this), self.value(like.expression), escape.constant)
        return boolean(f"(NOT {made.sql})") if like.args.get("negate") else made

    def _glob(self, node: Any) -> Value:
        return patterns.glob(self.value(node.this), self.value(node.expression))

    # ---------------------------------------------------------------- functions

    def _case(self, node: Any) -> Value:
        subject = self.value(node.this) if node.args.get("this") is not None else None
        conditions: list[str] = []
        results: list[Value] = []
        for branch in node.args["ifs"]:
            when = self.value(branch.this)
            conditions.append(truth(when) if subject is None else compare(subject, "=", when).sql)
            results.append(self.value(branch.args["true"]))
        default = node.args.get("default")
        results.append(NULL if default is None else self.value(default))
        return self._chosen(conditions, results)

    def _if(self, node: Any) -> Value:
        default = node.args.get("false")
        results = [self.value(node.args["true"]), NULL if default is None else self.value(default)]
        return self._chosen([truth(self.value(node.this))], results)

    def _chosen(self, conditions: list[str], results: list[Value]) -> Value:
        def build(parts: list[str]) -> str:
            branches = " ".join(f"WHEN {c} THEN {p}" for c, p in zip(conditions, parts))
            return f"(CASE {branches} ELSE {parts[-1]} END)"

        return functions.joined(results, build)

    def _coalesce(self, node: Any) -> Value:
        return functions.first_present([self.value(n) for n in (node.this, *node.expressions)])

    def _extreme(self, node: Any) -> Value:
        values = [self.value(n) for n in (node.this, *node.expressions)]
        return functions.most(values, "max" if isinstance(node, exp.Greatest) else "min")

    def _trim(self, node: Any) -> Value:
        names = {"LEADING": "ltrim", "TRAILING": "rtrim"}
        set_of = node.args.get("expression")
        characters = None if set_of is None else self.value(set_of)
        return functions.trimmed(self.value(node.this), characters, names.get(str(node.args.get("position")), "trim"))

    def _substring(self, node: Any) -> Value:
        size = node.args.get("length")
        start = self.value(node.args["start"])
        return functions.part(self.value(node.this), start, None if size is None else self.value(size))

    def _cast(self, node: Any) -> Value:
        value = self.value(node.this).known()
        wanted = node.args["to"].this
        if wanted in (exp.DataType.Type.TEXT, exp.DataType.Type.VARCHAR) and value.kind in (
            "text",
            "integer",
            "boolean",
        ):
            made, kept = _as_text(value), (value.collation, value.explicit, value.bearing)
            # A cast keeps the collation of its column, and takes its place for affinity.
            made = replace(made, affinity="TEXT", column=None, raw="", literal=False)
            return replace(made, collation=kept[0], explicit=kept[1], bearing=kept[2])
        if wanted in (exp.DataType.Type.INT, exp.DataType.Type.BIGINT) and value.kind in ("integer", "boolean"):
            return replace(as_integer(value), affinity="INTEGER", column=None, raw="", literal=False)
        raise Untranslatable(f"holds {_shown(node)}, which has no exact counterpart")

    def _json_valid(self, node: Any) -> Value:
        value = self.value(node.expressions[0])
        if value.column is None or value.column.codec not in ("jsonb", "json"):
            raise Untranslatable("uses json_valid() of something that is no JSON column in PostgreSQL")
        if value.nullable and node.expressions[0].sql("sqlite") not in self._present:
            raise Untranslatable(
                "uses json_valid() of a column that may be NULL, which SQLite's versions see differently"
            )
        return boolean("true")

    def _anonymous(self, node: Any) -> Value:
        name = str(node.this).upper()
        if name == "JSON_VALID" and len(node.expressions) == 1:
            return self._json_valid(node)
        raise Untranslatable(f"uses the function {name.lower()}()")


def _as_text(value: Value) -> Value:
    """A value as ``||`` and CAST write it."""
    value = as_integer(value.known())
    if value.kind == "integer":
        return (
            text(str(value.constant)) if value.literal else Value(f'({value.sql}::text COLLATE "C")', "text", in_c=True)
        )
    return functions.a_text(value, "||")


def _shown(node: exp.Expression) -> str:
    written = node.sql("sqlite")
    return written if len(written) <= 60 else written[:59] + "…"


def _unary(function: Callable[[Value], Value]) -> Callable[[Expressions, Any], Value]:
    return lambda self, node: function(self.value(node.this))


_HANDLERS: dict[type[exp.Expression], Callable[[Any, Any], Value]] = {
    exp.Column: Expressions._column,
    exp.Literal: Expressions._literal,
    exp.HexString: Expressions._hex,
    exp.Boolean: Expressions._truth_value,
    exp.Null: Expressions._null,
    exp.Paren: Expressions._paren,
    **dict.fromkeys(_COMPARISONS, Expressions._compared),
    exp.Is: Expressions._is,
    exp.Not: Expressions._not,
    exp.And: Expressions._and,
    exp.Or: Expressions._or,
    exp.Between: Expressions._between,
    exp.In: Expressions._in,
    **dict.fromkeys(_ARITHMETIC, Expressions._arithmetic),
    exp.Neg: Expressions._negative,
    exp.DPipe: Expressions._concatenated,
    exp.Collate: Expressions._collated,
    exp.Like: Expressions._like,
    exp.Escape: Expressions._escape,
    exp.Glob: Expressions._glob,
    exp.Case: Expressions._case,
    exp.If: Expressions._if,
    exp.Coalesce: Expressions._coalesce,
    exp.Greatest: Expressions._extreme,
    exp.Least: Expressions._extreme,
    exp.Trim: Expressions._trim,
    exp.Substring: Expressions._substring,
    exp.Cast: Expressions._cast,
    exp.Anonymous: Expressions._anonymous,
    exp.Lower: lambda self, node: functions.folded(self.value(node.this), "lower"),
    exp.Upper: lambda self, node: functions.folded(self.value(node.this), "upper"),
    exp.Length: _unary(functions.length),
    exp.Abs: _unary(functions.absolute),
    exp.Typeof: _unary(functions.storage),
    exp.Nullif: lambda s, node: functions.nothing_if_equal(s.value(node.this), s.value(node.expression)),
    exp.StrPosition: lambda s, node: functions.position(s.value(node.this), s.value(node.args["substr"])),
    exp.Replace: lambda s, node: functions.replaced(
        *(s.value(node.args[name]) for name in ("this", "expression", "replacement"))
    ),
}
