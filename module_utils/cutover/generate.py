# SPDX-License-Identifier: GPL-3.0-or-later
"""Python generated for one table: an expression that turns a row into bytes with as few calls as possible.

Only numbers made here enter the code, never a name or value from outside.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple

#: Patterns of NULLs in a row for which a function is kept.
_PATTERNS = 256


def hundredths(end: int, scale: int) -> str:
    """The guard that lets numbers below ``end`` through that are whole hundredths (by ``scale``), and calls those d{i}.

    A real is k hundredths when k / 100 gives it back: with k of at most 15 digits only one decimal of as many digits is
    nearest to a real. So that one is the shortest that reads back as the real, which is what the codec carries.
    """
    unit = f"{10**scale}.0"
    return f"{-float(end)!r} < {{v}} < {float(end)!r} and (d{{i}} := round({{v}} * {unit})) / {unit} == {{v}}"


class Field(NamedTuple):
    """A column: struct letters, their arguments, bytes that follow, and the condition under which all that holds.

    In the code, ``{v}`` is the value and ``{i}`` the column's number. null: letters and arguments of NULL; function: what
    the code calls or looks up as ``f{i}``.
    """

    letters: str = ""
    values: str = ""
    tail: str = ""
    guard: str = ""
    null: tuple[str, str] = ("i", "-1")
    function: Any = None


class Code:
    """The code over the local names c0, c1, … of a row's values; ``scope`` holds what it refers to.

    head: struct letters and arguments that every row begins with. optional: the columns that may be NULL.
    """

    def __init__(
        self, name: str, head: tuple[str, str], fields: Sequence[Field], optional: Sequence[int], scope: dict[str, Any]
    ) -> None:
        self._name = name
        self._head = head
        self.fields = [_numbered(i, field) for i, field in enumerate(fields)]
        self._optional = optional
        self._patterns: dict[int, Callable[..., bytes | None]] = {}
        self._scope = scope
        scope.update({f"f{i}": field.function for i, field in enumerate(fields)})
        scope.update(join=b"".join, patterns=self._patterns, pattern=self._pattern)
        self.names = "".join(f"c{i}, " for i in range(len(fields)))

    def condition(self) -> str:
        """When ``row`` holds: no value is NULL, and every guard lets its value through."""
        present = [f"c{i} is not None" for i in self._optional]
        return " and ".join(present + [field.guard for field in self.fields if field.guard]) or "True"

    def row(self, null: frozenset[int] = frozenset()) -> str:
        """The expression for rows in which just these columns are NULL."""
        letters, values = self._head[0], [self._head[1]]
        pieces: list[str] = []
        for i, field in enumerate(self.fields):
            added = field.null if i in null else (field.letters, field.values)
            letters += added[0]
            values += [added[1]] if added[1] else []
            if field.tail and i not in null:
                pieces += [self._pack(letters, values)] if letters else []
                pieces.append(field.tail)
                letters, values = "", []
        pieces += [self._pack(letters, values)] if letters else []
        return pieces[0] if len(pieces) == 1 else f"join(({', '.join(pieces)}))"

    def _pack(self, letters: str, values: list[str]) -> str:
        self._scope[f"s_{letters}"] = struct.Struct(">" + letters).pack
        return f"s_{letters}({', '.join(values)})"

    def with_null(self) -> str:
        """The expression for rows with NULLs: bytes, or None where a guard does not hold or nothing is NULL."""
        bits = " | ".join(f"(c{i} is None) << {bit}" for bit, i in enumerate(self._optional)) or "0"
        return f"(patterns.get(null) or pattern(null))({self.names}) if (null := {bits}) else None"

    def _pattern(self, number: int) -> Callable[..., bytes | None]:
        """The function for one pattern of NULLs, a bit for each column that may be NULL; made when it is met first."""
        if len(self._patterns) >= _PATTERNS:
            self._patterns.clear()
        null = frozenset(column for bit, column in enumerate(self._optional) if number >> bit & 1)
        guards = [field.guard for i, field in enumerate(self.fields) if field.guard and i not in null]
        made = self.compile(
            f"def row({self.names}):\n    if {' and '.join(guards) or 'True'}:\n        return {self.row(null)}\n",
            "row",
        )
        self._patterns[number] = made
        return made

    def compile(self, code: str, name: str) -> Callable[..., Any]:
        """The function ``name`` that ``code`` defines."""
        local: dict[str, Any] = {}
        exec(compile(code, self._name, "exec"), self._scope, local)  # noqa: S102 - made of numbers only, never of outside text
        made: Callable[..., Any] = local[name]
        return made


def _numbered(i: int, field: Field) -> Field:
    values, tail, guard = (code.format(v=f"c{i}", i=i) for code in (field.values, field.tail, field.guard))
    return field._replace(values=values, tail=tail, guard=guard)
