# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator decided: ``cutover_plan_overrides``, checked against the source before anything else."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from ..codecs import CODECS, base_type
from ..codecs.ruled import NULLING
from ..errors import PlanError
from ..source.model import Description, Table
from .names import too_long

_TABLE_KEYS = (
    "carry",
    "target",
    "columns",
    "primary_key",
    "indexes",
    "foreign_keys",
    "checks",
    "foreign_key_indexes",
    "ids",
)
_COLUMN_KEYS = (
    "codec",
    "type",
    "rule",
    "rules",
    "refused",
    "target",
    "not_null",
    "refers_to",
    "generated",
    "default",
    "collation",
)
_DECLARED_KEYS = ("codec", "type", "rule", "rules", "refused")
_TOP_KEYS = (
    "tables",
    "views",
    "declared",
    "unique",
    "collation",
    "schema",
    "foreign_key_indexes",
    "namespace",
    "uuid_type",
)
_REFUSED = ("fail", "quarantine")
#: Names that share less are not proposed for each other.
_LIKE = 0.5
_TYPE = re.compile(r"[a-z][a-z ]*(\((\d{1,8})(,(\d{1,4}))?\))?")
#: Types that may say how much they hold, and the most that PostgreSQL allows.
_MODIFIED = {"numeric": 1_000, "varchar": 10_485_760}


class Overrides:
    """Checked access to the overrides. Raises PlanError, naming the nearest valid name, for whatever is unknown."""

    #: What can be decided about a part of a table.
    _part_keys = {
        "indexes": ("carry",),
        "checks": ("carry", "validate"),
        "foreign_keys": ("carry", "validate", "target"),
    }

    def __init__(self, data: Mapping[str, Any] | None, source: Description) -> None:
        self._data: Mapping[str, Any] = data or {}
        _known("cutover_plan_overrides", self._data, _TOP_KEYS)
        self._views: dict[str, Mapping[str, Any]] = _mapping(self._data.get("views"), "views")
        self._tables: dict[str, Mapping[str, Any]] = _mapping(self._data.get("tables"), "tables")
        _known("views", self._views, [other.name for other in source.others if other.kind == "view"])
        for name, entry in self._views.items():
            _known(f"views.{name}", _mapping(entry, f"views.{name}"), ("carry", "target"))
        names = {table.name: table for table in source.tables}
        self._declared_as = {
            (table.name, column.name): _plain(column.declared) for table in source.tables for column in table.columns
        }
        self._counted = {(table.name, table.rowid_alias) for table in source.tables}
        self._declared = _declared(self._data.get("declared"), set(self._declared_as.values()))
        for name, entry in self._tables.items():
            _known("tables", {name: None}, names)
            entry = _mapping(entry, f"tables.{name}")
            _known(f"tables.{name}", entry, _TABLE_KEYS)
            columns = _mapping(entry.get("columns"), f"tables.{name}.columns")
            _known(f"tables.{name}.columns", columns, [column.name for column in names[name].columns])
            for column, decision in columns.items():
                where = f"tables.{name}.columns.{column}"
                decision = _mapping(decision, where)
                _check_column(where, decision)
                _check_nulls(where, names[name], column, decision)
                _check_reference(f"{where}.refers_to", decision.get("refers_to", False), names)
            _known(f"tables.{name}.ids", {entry.get("ids", "keep"): None}, ("keep", "uuid"))
            if entry.get("primary_key", "unique") != "unique":
                raise PlanError(
                    f"tables.{name}.primary_key: the only choice is 'unique' (a unique index instead of the key)."
                )

    @property
    def schema(self) -> str:
        """The target's schema, ``public`` unless decided otherwise."""
        name = str(self._data.get("schema", "public"))
        if not name or too_long(name) or name.startswith(("pg_", "pgcutover")) or name == "information_schema":
            raise PlanError(
                f"cutover_plan_overrides.schema: {name!r} cannot be used: names of 1 to 63 bytes, not those of PostgreSQL "
                "(pg_…) or of the migration itself (pgcutover…)."
            )
        return name

    @property
    def unique(self) -> str:
        """What becomes of CREATE UNIQUE INDEX: ``index``, or ``constraint`` as knex and Django have it in PostgreSQL."""
        chosen = str(self._data.get("unique", "index"))
        _known("cutover_plan_overrides.unique", {chosen: None}, ("index", "constraint"))
        return chosen

    @property
    def collation(self) -> str | None:
        """The collation of text columns: ``C``, which compares bytes as SQLite does, or None for the database's own."""
        chosen = self._data.get("collation", "C")
        if chosen not in ("C", "default"):
            raise PlanError("cutover_plan_overrides.collation: is 'C' (bytes, as SQLite compares) or 'default'.")
        return "C" if chosen == "C" else None

    @property
    def namespace(self) -> UUID | None:
        """The namespace of UUIDs that are made from integer keys; None: made from the migration's name."""
        given = self._data.get("namespace")
        try:
            return None if given is None else UUID(str(given))
        except ValueError:
            raise PlanError(f"cutover_plan_overrides.namespace: {given!r} is no UUID.") from None

    @property
    def uuid_type(self) -> str:
        """The type of integer keys that become UUIDs: ``uuid``, or ``text`` for applications that know no other."""
        chosen = self._data.get("uuid_type", "uuid")
        if chosen not in ("uuid", "text"):
            raise PlanError("cutover_plan_overrides.uuid_type: is 'uuid' or 'text'.")
        return str(chosen)

    def table(self, name: str) -> Mapping[str, Any]:
        """What was decided for a table; empty when nothing was."""
        return _mapping(self._tables.get(name), name)

    def view(self, name: str) -> Mapping[str, Any]:
        """What was decided for a view; empty when nothing was."""
        return _mapping(self._views.get(name), name)

    def foreign_key_indexes(self, table: str) -> bool:
        """Whether foreign keys of the table that have no index get one."""
        return bool(self.table(table).get("foreign_key_indexes", self._data.get("foreign_key_indexes", True)))

    def column(self, table: str, column: str) -> Mapping[str, Any]:
        """What was decided for a column, by its name or else by its declared type; empty when nothing was."""
        named = _mapping(_mapping(self.table(table).get("columns"), table).get(column), column)
        alike = self._declared.get(self._declared_as.get((table, column), ""), {})
        # A key that counts stays one: only how wide it is can be decided for all columns of its declared type.
        if (table, column) in self._counted and alike.get("codec", "integer") != "integer":
            alike = {}
        # A codec of its own brings its own type and rules.
        return named if "codec" in named else {**alike, **named}

    def part(self, table: str, group: str, known: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """What was decided for the indexes, foreign keys or checks of a table, by their names in the target."""
        entries = _mapping(self.table(table).get(group), f"tables.{table}.{group}")
        _known(f"tables.{table}.{group}", entries, known)
        for name, entry in entries.items():
            allowed = self._part_keys[group]
            _known(f"tables.{table}.{group}.{name}", _mapping(entry, name), allowed)
        return dict(entries)


def _plain(declared: str) -> str:
    """A declared type as it is compared: in lower case, one blank between words, none around brackets and commas."""
    return re.sub(r"\s*([(),])\s*", r"\1", " ".join(declared.lower().split()))


def _declared(data: Any, present: set[str]) -> dict[str, Mapping[str, Any]]:
    """The decisions for all columns of a declared type, by that type."""
    found: dict[str, Mapping[str, Any]] = {}
    for name, entry in _mapping(data, "declared").items():
        _known("declared", {_plain(str(name)): None}, present)
        decision = _mapping(entry, f"declared.{name}")
        _known(f"declared.{name}", decision, _DECLARED_KEYS)
        _check_column(f"declared.{name}", decision)
        found[_plain(str(name))] = decision
    return found


def _check_column(where: str, decision: Mapping[str, Any]) -> None:
    _known(where, decision, _COLUMN_KEYS)
    if not isinstance(decision.get("default"), (str, type(None))) or ";" in (decision.get("default") or ""):
        raise PlanError(f"{where}.default: must be one expression in PostgreSQL's SQL, as text; or null for none.")
    if decision.get("collation") is not None:
        _known(f"{where}.collation", {decision["collation"]: None}, ("case_insensitive",))
    _known(f"{where}.refused", {decision.get("refused", "fail"): None}, _REFUSED)
    if "codec" not in decision:
        if "type" in decision or "rule" in decision or "rules" in decision:
            raise PlanError(f"{where}: type and rules belong to a codec; name the codec as well.")
        return
    _known(f"{where}.codec", {decision["codec"]: None}, CODECS)
    codec = CODECS[decision["codec"]]
    type_name = str(decision.get("type", codec.types[0]))
    if not _TYPE.fullmatch(type_name) or base_type(type_name) not in codec.types:
        raise PlanError(f"{where}.type: codec {codec.name} writes {', '.join(codec.types)}, not {type_name!r}.")
    _check_modifiers(f"{where}.type", type_name)
    if decision.get("rule") is not None and "rules" in decision:
        raise PlanError(f"{where}: give either rule or rules, not both.")
    if not isinstance(decision.get("rules", []), (list, tuple)):
        raise PlanError(f"{where}.rules: must be a list of rules; a single one may be called rule.")
    rules = named_rules(decision)
    _known(f"{where}.{'rules' if 'rules' in decision else 'rule'}", rules, codec.rules)
    if codec.name == "mixed_timestamp" and "per_value" not in rules:
        raise PlanError(f"{where}: codec mixed_timestamp needs rule: per_value.")


def _check_reference(where: str, named: Any, tables: Iterable[str]) -> None:
    if named is False:
        return
    if not isinstance(named, str):
        raise PlanError(f"{where}: names the table whose key the column holds, or is false.")
    _known(where, {named: None}, tables)


def _check_nulls(where: str, table: Table, name: str, decision: Mapping[str, Any]) -> None:
    """Refuse rules that would put NULL where PostgreSQL will not take it."""
    column = table.column(name)
    required = decision.get("not_null", column.not_null or name == table.rowid_alias)
    for rule in named_rules(decision):
        if rule in NULLING and (required or name.lower() in [part.lower() for part in table.primary_key]):
            raise PlanError(
                f"{where}: {rule} would put NULL into a column that must hold none. Say not_null: false if it may, or "
                "refused: quarantine to set such rows aside."
            )


def named_rules(decision: Mapping[str, Any]) -> tuple[str, ...]:
    """The rules of a decision on a column: ``rule: x`` or ``rules: [x, y]``, each once."""
    single = decision.get("rule")
    names = decision.get("rules", ()) if single is None else (single,)
    return tuple(dict.fromkeys(str(name) for name in names))


def _check_modifiers(where: str, type_name: str) -> None:
    match, base = _TYPE.fullmatch(type_name), base_type(type_name)
    if match is None or not match[1]:
        return
    if base not in _MODIFIED:
        raise PlanError(f"{where}: {base} takes no length or precision, which would round or cut values.")
    most = _MODIFIED[base]
    if not 1 <= int(match[2]) <= most or (match[4] and (base == "varchar" or int(match[4]) > most)):
        raise PlanError(f"{where}: PostgreSQL has no {type_name}; the most is {base}({most}).")


def _known(where: str, given: Iterable[Any], valid: Iterable[str]) -> None:
    allowed: list[str] = list(valid)
    for name in given:
        if name in allowed:
            continue
        near = _nearest(str(name), allowed)
        hint = f"Did you mean {near!r}?" if near is not None else f"Valid: {', '.join(sorted(allowed)) or 'none'}."
        raise PlanError(f"{where}: {name!r} is unknown. {hint}")


def _nearest(name: str, allowed: list[str]) -> str | None:
    """The valid name that ``name`` is most like, None when it is like none."""

    def likeness(other: str) -> tuple[float, float]:
        # First without case: CUSTOMER is nearer to customer than to any other name.
        folded = difflib.SequenceMatcher(None, other.lower(), name.lower()).ratio()
        return folded, difflib.SequenceMatcher(None, other, name).ratio()

    best = max(allowed, key=likeness, default=None)
    return best if best is not None and likeness(best)[0] >= _LIKE else None


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise PlanError(f"{where}: must be a mapping, not {value!r}.")
    return dict(value)


#: The same checks for the overrides of tables that exist.
known, mapping = _known, _mapping
