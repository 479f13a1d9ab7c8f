# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the structure of a SQLite database from its pragmas and, where those are silent, from its SQL.

Source: https://www.sqlite.org/pragma.html (table_list, table_xinfo, index_list, index_xinfo, foreign_key_list).
"""

from __future__ import annotations

import os
import sqlite3

from ..errors import SourceError
from .constraints import named_foreign_keys, named_indexes, primary_key_name
from .model import Check, Column, Description, ForeignKey, Index, IndexColumn, OtherObject, Table
from .sqltokens import (
    checks,
    collations,
    constant_expression,
    deferred_references,
    generated,
    has_autoincrement,
    index_parts,
    quote,
    table_options,
)

#: Everything that the migration itself puts into the source begins with this; it is never described or carried.
OWN_PREFIX = "pg_cutover_"
#: The application's triggers while the source is fenced: (number, name, tbl_name, sql). They are still described.
ASIDE = OWN_PREFIX + "aside"


def describe(connection: sqlite3.Connection, path: str) -> Description:
    """The structure of the open database. Rows are not read. Raises SourceError."""
    tables: list[Table] = []
    others: list[OtherObject] = []
    sequences = _sequences(connection)
    master = connection.execute(
        "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master ORDER BY type, name"
    ).fetchall()
    if any(row[:2] == ("table", ASIDE) for row in master):
        aside = connection.execute(f"SELECT 'trigger', name, tbl_name, sql FROM {ASIDE}").fetchall()
        master = sorted(master + aside, key=lambda row: (row[0], row[1].encode("utf-8", "surrogateescape")))
    master = [(kind, _name(name), _name(table), _legible(sql)) for kind, name, table, sql in master]
    virtual = [name for kind, name, _, sql in master if kind == "table" and _is_virtual(sql)]
    shadows = _shadow_tables(connection, virtual)
    for kind, name, table, sql in master:
        if name.startswith(("sqlite_", OWN_PREFIX)):
            continue
        if kind == "table" and name in virtual:
            others.append(OtherObject(name, "virtual table", name, sql))
        elif kind == "table" and name in shadows:
            others.append(OtherObject(name, "shadow table", shadows[name], sql))
        elif kind == "table":
            tables.append(_table(connection, name, sql, sequences.get(name)))
        elif kind in ("view", "trigger"):
            columns = _view_columns(connection, name) if kind == "view" else ()
            others.append(OtherObject(name, kind, table, sql, columns))
    return Description(
        path=os.path.abspath(path),
        size_bytes=file_size(path),
        page_size=_pragma(connection, "page_size"),
        encoding=str(_pragma(connection, "encoding")),
        journal_mode=str(_pragma(connection, "journal_mode")),
        schema_version=_pragma(connection, "schema_version"),
        sqlite_version=sqlite3.sqlite_version,
        tables=tuple(tables),
        others=tuple(others),
    )


def _view_columns(connection: sqlite3.Connection, view: str) -> tuple[str, ...]:
    """The names of a view's columns; none where SQLite cannot read it any more, because something it needs is gone."""
    try:
        return tuple(_name(row[1]) for row in connection.execute(f"PRAGMA table_info({quote(view)})"))
    except sqlite3.OperationalError:
        return ()


def file_size(path: str) -> int:
    """Bytes of the database file and its write-ahead log."""
    return sum(os.path.getsize(path + end) for end in ("", "-wal") if os.path.exists(path + end))


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value


def _name(text: str) -> str:
    """A name of the source. Raises SourceError where it is no text: nothing could address or carry it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SourceError(
            f"the name {_legible(text)!r} is not valid UTF-8, so PostgreSQL cannot have it. Rename the object."
        ) from None
    return text


def _legible(sql: str) -> str:
    return sql.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _is_virtual(sql: str) -> bool:
    return sql.lstrip().upper().startswith("CREATE VIRTUAL")


def _sequences(connection: sqlite3.Connection) -> dict[str, int]:
    present = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchone()
    if not present:
        return {}
    # A second row for a table, or a text in seq, is possible: the application may write sqlite_sequence itself.
    rows = connection.execute(
        "SELECT name, max(seq) FROM sqlite_sequence WHERE typeof(seq) = 'integer' GROUP BY name"
    ).fetchall()
    return {str(name): int(value) for name, value in rows}


def _shadow_tables(connection: sqlite3.Connection, virtual: list[str]) -> dict[str, str]:
    """Shadow table name → its virtual table."""
    if not virtual:
        return {}
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    known: set[str] | None = None
    if sqlite3.sqlite_version_info >= (3, 37):
        known = {row[1] for row in connection.execute("PRAGMA table_list") if row[2] == "shadow"}
    found: dict[str, str] = {}
    for name in names:
        owner = next((v for v in sorted(virtual, key=len, reverse=True) if name.startswith(v + "_")), None)
        if owner and (known is None or name in known):
            found[name] = owner
    return found


def _table(connection: sqlite3.Connection, name: str, sql: str, sequence: int | None) -> Table:
    without_rowid, strict = table_options(sql)
    columns = _columns(connection, name, sql)
    key = tuple(c.name for c in sorted(columns, key=lambda c: c.primary_key) if c.primary_key)
    indexes = named_indexes(_indexes(connection, name), sql)
    # A rowid table whose primary key has no index of its own keeps it in the rowid: the key is an alias.
    alias = key[0] if len(key) == 1 and not without_rowid and not any(i.origin == "pk" for i in indexes) else None
    taken = {c.name.lower() for c in columns}
    rowid = None if without_rowid else alias or next((n for n in ("rowid", "_rowid_", "oid") if n not in taken), None)
    if rowid is None and not without_rowid:
        raise SourceError(
            f"table {name}: has columns called rowid, _rowid_ and oid and no INTEGER PRIMARY KEY, so its rows "
            "cannot be addressed. Rename one of the three columns."
        )
    return Table(
        name=name,
        sql=sql,
        columns=columns,
        primary_key=key,
        rowid=rowid,
        rowid_alias=alias,
        strict=strict,
        autoincrement=has_autoincrement(sql),
        sequence=sequence,
        indexes=indexes,
        foreign_keys=named_foreign_keys(_foreign_keys(connection, name, sql), sql),
        primary_key_name=primary_key_name(sql),
        checks=tuple(Check(name, text) for name, text in checks(sql)),
    )


def _columns(connection: sqlite3.Connection, table: str, sql: str) -> tuple[Column, ...]:
    expressions, collated = iter(generated(sql)), collations(sql)
    columns: list[Column] = []
    for _, name, declared, not_null, default, key, hidden in connection.execute(f"PRAGMA table_xinfo({quote(table)})"):
        if hidden == 1:
            continue
        expression = next(expressions, "") if hidden in (2, 3) else None
        default = None if default is None else _legible(default)
        columns.append(
            Column(
                _name(name),
                _legible(declared or ""),
                bool(not_null),
                default,
                int(key),
                expression,
                collated.get(name.lower()),
                _constant(connection, default),
            )
        )
    return tuple(columns)


def _constant(connection: sqlite3.Connection, default: str | None) -> str | None:
    """What SQLite itself computes for a default that depends on nothing; None for literals and everything else."""
    if default is None or not constant_expression(default):
        return None
    try:
        value: str | None = connection.execute(f"SELECT quote({default})").fetchone()[0]
    except sqlite3.Error:
        return None
    return value


def _indexes(connection: sqlite3.Connection, table: str) -> tuple[Index, ...]:
    found: list[Index] = []
    for _, name, unique, origin, partial in connection.execute(f"PRAGMA index_list({quote(table)})").fetchall():
        if name.startswith(OWN_PREFIX):
            continue
        info = connection.execute(f"PRAGMA index_xinfo({quote(name)})").fetchall()
        row = connection.execute("SELECT sql FROM sqlite_master WHERE type = 'index' AND name = ?", (name,)).fetchone()
        sql = row[0] if row else None
        texts, where = index_parts(sql) if sql else ([], None)
        columns = tuple(
            IndexColumn(
                None if cid == -2 else ("rowid" if cid == -1 else column),
                bool(desc),
                collation or "BINARY",
                texts[number] if cid == -2 and number < len(texts) else None,
            )
            for number, cid, column, desc, collation, is_key in info
            if is_key
        )
        found.append(Index(name, bool(unique), origin, bool(partial), columns, sql, where=where))
    return tuple(sorted(found, key=lambda index: index.name))


def _foreign_keys(connection: sqlite3.Connection, table: str, sql: str) -> tuple[ForeignKey, ...]:
    rows = connection.execute(f"PRAGMA foreign_key_list({quote(table)})").fetchall()
    groups: dict[int, list[tuple[int, str, str, str | None, str, str]]] = {}
    for number, position, parent, child_column, parent_column, on_update, on_delete, _match in rows:
        groups.setdefault(number, []).append((position, parent, child_column, parent_column, on_update, on_delete))
    # SQLite numbers foreign keys from the last one in the text to the first.
    deferral = deferred_references(sql)
    found: list[ForeignKey] = []
    for order, number in enumerate(sorted(groups, reverse=True)):
        parts = sorted(groups[number])
        deferrable, deferred = deferral[order] if order < len(deferral) else (False, False)
        found.append(
            ForeignKey(
                columns=tuple(part[2] for part in parts),
                parent=parts[0][1],
                parent_columns=tuple(part[3] for part in parts if part[3] is not None),
                on_update=parts[0][4],
                on_delete=parts[0][5],
                deferrable=deferrable,
                deferred=deferred,
            )
        )
    return tuple(found)
