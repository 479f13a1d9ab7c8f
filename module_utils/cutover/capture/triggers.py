# SPDX-License-Identifier: GPL-3.0-or-later
"""The triggers that write the change log.

AFTER triggers log the key of every row that a statement touches. REPLACE deletes rows without firing DELETE triggers
(unless recursive_triggers is on), so BEFORE triggers log who would have to give way: for each set of columns that
SQLite keeps unique, the row that has the new row's values already. Too many keys do no harm, for rows are read again
when they are applied; one too few would lose a change.

An UPDATE OF trigger does not see ``SET rowid = …`` nor a generated column whose sources change; where either can move
a key or a unique value, the trigger hears every UPDATE and compares.

Source: https://www.sqlite.org/lang_createtrigger.html, https://www.sqlite.org/lang_conflict.html.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Callable

from ..errors import Refused
from ..plan.model import PlanTable
from ..source.connect import ERRORS
from ..source.model import Column, Index, Table
from ..source.sqltokens import quote, tokens, unquoted
from .names import LOG, TRIGGER, key_column

_CONSTANTS = ("NULL", "TRUE", "FALSE", "CURRENT_TIME", "CURRENT_DATE", "CURRENT_TIMESTAMP")
#: How a value of the new row is written: in a trigger, or as a parameter where its query is only tried out.
NewValue = Callable[[str], str]


def new(name: str) -> str:
    """The new row's value of a column, inside a trigger."""
    return f"NEW.{quote(name)}"


def log_table(widest: int) -> str:
    """CREATE TABLE of the log, for keys of at most so many columns."""
    keys = "".join(f", {key_column(number)}" for number in range(widest))
    return f"CREATE TABLE {LOG} (seq INTEGER PRIMARY KEY, t INTEGER NOT NULL{keys})"


def triggers(table: PlanTable, source: Table, number: int) -> dict[str, str]:
    """Name → CREATE TRIGGER for one table."""
    on = quote(source.name)
    insert = _insert(table)
    made: dict[str, str] = {}

    def make(purpose: str, event: str, body: Iterable[str], when: str = "") -> None:
        name = f"{TRIGGER}{number}_{purpose}"
        condition = f" WHEN {when}" if when else ""
        made[name] = f"CREATE TRIGGER {name} {event} ON {on}{condition} BEGIN {' '.join(body)} END"

    make("insert", "AFTER INSERT", [f"{insert} VALUES ({_logged(table, number, 'NEW')});"])
    make("update", "AFTER UPDATE", [f"{insert} VALUES ({_logged(table, number, 'NEW')});"])
    make("delete", "AFTER DELETE", [f"{insert} VALUES ({_logged(table, number, 'OLD')});"])
    if not table.key:
        # Logged as a whole, whoever was deleted.
        return made
    # Before: the row that the new key replaces may take this one with it, by a cascade, and no AFTER trigger would fire.
    both = f"{insert} VALUES ({_logged(table, number, 'OLD')}), ({_logged(table, number, 'NEW')});"
    make("moved", "BEFORE UPDATE", [both], _moved(table, source))
    victims = [v for index in unique_sets(table, source) for v in _victims(table, source, index, number, new)]
    if rowid := hidden_rowid(source):
        victims.append(_same_rowid(table, source, number, rowid, new))
    if victims:
        make("replaces", "BEFORE INSERT", [f"{insert} {query};" for query in victims])
    for at, index in enumerate(unique_sets(table, source)):
        queries = _victims(table, source, index, number, new)
        event, when = _update_of(source, index)
        body = [f"{insert} {query} AND {_another(table)};" for query in queries]
        make(f"replaces_{at}", event, body, when)
    if rowid:
        query = _same_rowid(table, source, number, rowid, new)
        make("replaces_rowid", "BEFORE UPDATE", [f"{insert} {query};"], f"NEW.{quote(rowid)} <> OLD.{quote(rowid)}")
    return made


def check(connection: sqlite3.Connection, table: PlanTable, source: Table) -> None:
    """Raise Refused where a victim can only be found by reading the whole table, or not by this process at all."""
    for index in unique_sets(table, source) if table.key else ():
        for query in _victims(table, source, index, 0, lambda _: ":new"):
            try:
                steps = connection.execute(f"EXPLAIN QUERY PLAN {query}", {"new": None}).fetchall()
            except ERRORS as error:
                raise _refused(source, index, f"cannot be followed ({error})") from None
            # What has a parent is the row of constants that an expression is taken of.
            if not _text(next(detail for _, parent, _, detail in steps if parent == 0)).startswith("SEARCH "):
                raise _refused(source, index, "would make each write read the whole table")


def unique_sets(table: PlanTable, source: Table) -> list[Index]:
    """The unique indexes on which REPLACE can delete a row that has another key than the new one."""
    return [index for index in source.indexes if index.unique and not _implies_key(table, source, index)]


def hidden_rowid(source: Table) -> str | None:
    """The name of a rowid that is no column: a statement may set it, and REPLACE a row by it."""
    return source.rowid if source.rowid_alias is None else None


def _implies_key(table: PlanTable, source: Table, index: Index) -> bool:
    """True when two rows that are alike in the index have exactly the same key."""
    exact = {_column_name(source, c.name) for c in index.columns if c.name is not None and c.collation == "BINARY"}
    exact |= {_column_name(source, c.name) for c in index.columns if c.name is not None} & {source.rowid_alias}
    return all(name in exact and not _keeps_any_class(source, source.column(name)) for name in table.key)


def _keeps_any_class(source: Table, column: Column) -> bool:
    """True for a column without affinity: 1 and 1.0 are equal there and yet two values."""
    declared = column.declared.upper()
    if source.strict:
        return declared == "ANY"
    if any(word in declared for word in ("INT", "CHAR", "CLOB", "TEXT")):
        return False
    return not declared or "BLOB" in declared


def _column_name(source: Table, name: str) -> str:
    """SQLite calls an INTEGER PRIMARY KEY in an index ``rowid``."""
    try:
        return source.column(name).name
    except KeyError:
        return source.rowid or name


def _insert(table: PlanTable) -> str:
    keys = "".join(f", {key_column(at)}" for at in range(len(table.key)))
    return f"INSERT INTO {LOG} (t{keys})"


def _logged(table: PlanTable, number: int, row: str) -> str:
    return ", ".join([str(number), *(f"{row}.{quote(name)}" for name in table.key)])


def _moved(table: PlanTable, source: Table) -> str:
    """True when an UPDATE changed the key, be it by case or storage class only."""
    parts = []
    for name in table.key:
        column = quote(name)
        if name == source.rowid_alias:
            parts.append(f"OLD.{column} <> NEW.{column}")
            continue
        parts.append(f"OLD.{column} IS NOT NEW.{column} COLLATE BINARY")
        if _keeps_any_class(source, source.column(name)):
            parts.append(f"typeof(OLD.{column}) <> typeof(NEW.{column})")
    return " OR ".join(parts)


def _another(table: PlanTable) -> str:
    """Leaves out the row that is being updated: it is logged anyway."""
    same = " AND ".join(f"{quote(name)} IS OLD.{quote(name)} COLLATE BINARY" for name in table.key)
    return f"NOT ({same})"


def _update_of(source: Table, index: Index) -> tuple[str, str]:
    """The event and the condition under which an UPDATE can make a row clash in this index."""
    if index.where is not None or (_computed(source, index) and (_filled(source) or "" in _columns(source, index))):
        return "BEFORE UPDATE", ""
    columns = [source.column(_column_name(source, str(part.name))) for part in index.columns]
    event = "BEFORE UPDATE"
    if not any(column.generated is not None or column.name == source.rowid_alias for column in columns):
        event += " OF " + ", ".join(quote(column.name) for column in columns)
    changed = (
        f"OLD.{quote(column.name)} IS NOT NEW.{quote(column.name)} COLLATE {quote(part.collation)}"
        for column, part in zip(columns, index.columns)
    )
    return event, " OR ".join(changed)


def _same_rowid(table: PlanTable, source: Table, number: int, rowid: str, value: NewValue) -> str:
    # A rowid that the statement does not name is -1 here; the row that really has -1 is logged in vain then.
    keys = ", ".join(quote(name) for name in table.key)
    return f"SELECT {number}, {keys} FROM {quote(source.name)} WHERE {quote(rowid)} = {value(rowid)}"


def _victims(table: PlanTable, source: Table, index: Index, number: int, value: NewValue) -> list[str]:
    """The queries for the key of the row that a new row would replace by this index."""
    head = f"SELECT {number}, {', '.join(quote(name) for name in table.key)} FROM {quote(source.name)} WHERE "
    limit = f" AND ({index.where})" if index.where is not None else ""
    filled = _filled(source)
    if not _computed(source, index):
        simple = (_wanted(name, filled, value) for name in _columns(source, index))
        return [head + " AND ".join(_same(source, index, simple)) + limit]
    row = _row(source, {}, value)
    plain = (value(name) if name else f"(SELECT {text} FROM {row})" for name, text in _parts(source, index))
    queries = [head + " AND ".join(_same(source, index, plain)) + limit]
    if filled:
        row = _row(source, filled, value)
        # The plus takes the affinity away, as for a value that is stored.
        other = (f"(SELECT {'+' + quote(name) if name else text} FROM {row})" for name, text in _parts(source, index))
        missing = " OR ".join(f"{value(name)} IS NULL" for name in filled)
        queries.append(head + " AND ".join(_same(source, index, other)) + limit + f" AND ({missing})")
    return queries


def _computed(source: Table, index: Index) -> bool:
    """True when some of what the index holds is computed of other columns."""
    return any(not name or source.column(name).generated is not None for name in _columns(source, index))


def _filled(source: Table) -> dict[str, str]:
    """Column → default, where REPLACE puts it in the place of a NULL that is not allowed."""
    return {c.name: _default(c.default) for c in source.columns if c.not_null and c.default is not None}


def _parts(source: Table, index: Index) -> Iterator[tuple[str, str]]:
    """(name of the column or nothing, its expression) of each part of an index."""
    for part in index.columns:
        yield ("", part.expression) if part.expression is not None else (_column_name(source, str(part.name)), "")


def _columns(source: Table, index: Index) -> list[str]:
    return [name for name, _ in _parts(source, index)]


def _wanted(name: str, filled: dict[str, str], value: NewValue) -> str:
    return f"coalesce({value(name)}, {filled[name]})" if name in filled else value(name)


def _same(source: Table, index: Index, wanted: Iterable[str]) -> Iterator[str]:
    """Conditions that find a row by the index. Its collation stands where it outweighs that of the other side."""
    for part, (name, text), sought in zip(index.columns, _parts(source, index), wanted):
        collation = f"COLLATE {quote(part.collation)}"
        yield f"{quote(name)} = {sought} {collation}" if name else f"({text}) {collation} = {sought}"


def _row(source: Table, filled: dict[str, str], value: NewValue) -> str:
    """The new row as a table of its own, under the table's name, so that an index's expression can be taken of it.

    Generated columns are computed anew where columns are filled.
    """
    stored = [c for c in source.columns if c.generated is None or not filled]
    columns = ", ".join(f"{_wanted(column.name, filled, value)} AS {quote(column.name)}" for column in stored)
    row = f"(SELECT {columns}) AS {quote(source.name)}"
    left = [column for column in source.columns if column not in stored]
    while left:
        # One may be computed of another.
        names = {column.name.lower() for column in left}
        now = [c for c in left if not names & {unquoted(t).lower() for t in tokens(str(c.generated))}] or left
        added = ", ".join(f"({column.generated}) AS {quote(column.name)}" for column in now)
        row = f"(SELECT *, {added} FROM {row}) AS {quote(source.name)}"
        left = [column for column in left if column not in now]
    return row


def _default(text: str) -> str:
    """A default as an expression: a lone name there is a string, elsewhere a column."""
    found = tokens(text)
    if len(found) == 1 and (found[0].kind == "name" or (found[0].kind == "word" and not found[0].is_word(*_CONSTANTS))):
        return "'" + unquoted(found[0]).replace("'", "''") + "'"
    return f"({text})"


def _refused(source: Table, index: Index, why: str) -> Refused:
    return Refused(
        f"table {source.name}: its unique index {index.name} {why}, so rows that REPLACE deletes could not be logged. "
        "Drop the index for the time of the cutover if the application allows, or use cutover_strategy: maintenance."
    )


def _text(value: object) -> str:
    return bytes(value).decode("utf-8", "replace") if isinstance(value, (bytes, bytearray)) else str(value)
