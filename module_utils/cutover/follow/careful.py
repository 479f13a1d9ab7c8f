# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing rows whose order matters: each as soon as the others let it, found out by trying.

Halves of what fails are tried apart, so that few rows in each other's way cost little. Nothing is deleted while a row that
stays refers to it, whatever the foreign key would do then.
"""

from __future__ import annotations

from typing import Any

from ..errors import Refused
from ..target.connect import first_line, qualified, quote
from ..target.rows import escaped
from .catalog import Facts, ForeignKey, UniqueColumn, index_columns
from .stage import NUMBER, Stage, hashing

_TRY = "pgcutover_try"
_FOREIGN_KEY = ("23503", "23001")
_UNIQUE = ("23505",)
#: By type, expressions of values that rows may have for a moment; {n} is different for each row.
_FOR_A_MOMENT: dict[str, tuple[str, ...]] = {
    "smallint": ("(-32768 + {n})::smallint", "(32767 - {n})::smallint"),
    "integer": ("(-2147483648 + {n})::integer", "(2147483647 - {n})::integer"),
    "bigint": ("-9223372036854775808 + {n}", "9223372036854775807 - {n}"),
    "numeric": ("-99999999 - {n}", "99999999 + {n}"),
    "double precision": ("-1e300 - 1e290 * {n}", "1e300 + 1e290 * {n}"),
    "text": ("'pg-cutover ' || gen_random_uuid()",),
    "character varying": ("'pg-cutover ' || gen_random_uuid()", "left(replace(gen_random_uuid()::text, '-', ''), 16)"),
    "uuid": ("gen_random_uuid()",),
    "bytea": ("decode(md5(random()::text || {n}), 'hex')",),
    "date": ("date '0001-01-01' + {n}::integer",),
    "timestamp without time zone": ("timestamp '0001-01-01' + {n} * interval '1 second'",),
    "timestamp with time zone": ("timestamptz '0001-01-01 00:00+00' + {n} * interval '1 second'",),
}


class Careful:
    """One batch whose quick way failed. batch: parents first, whole: tables without a key; the temporary tables filled."""

    def __init__(self, cursor: Any, facts: Facts, batch: list[Stage], whole: list[Stage]) -> None:
        self._cursor = cursor
        self._facts = facts
        self._batch = batch
        self._whole = whole
        self._integrity = cursor.connection.IntegrityError
        self._left: dict[str, list[int]] = {}
        #: By table and row what stood in its way last: code, constraint, message.
        self._why: dict[tuple[str, int], tuple[str, str, str]] = {}
        self._moved: set[tuple[str, str]] = set()

    def run(self) -> str | None:
        """Write everything; what is in the way of the rest where something is left. Raises Refused for impossible rows."""
        for stage in self._batch:
            self._cursor.execute(f"SELECT {NUMBER} FROM {stage.rows} ORDER BY 1")
            self._left[stage.table.name] = [number for (number,) in self._cursor.fetchall()]
        for stage in self._whole:
            stage.delete_whole(self._cursor)
        tricks = [self._without_references, self._out_of_the_way]
        while True:
            self._passes()
            if not any(self._left.values()):
                break
            if not any(trick() for trick in tricks):
                return self._problem()
        self._cursor.execute(f"SAVEPOINT {_TRY}")
        try:
            for stage in self._whole:
                stage.insert_whole(self._cursor)
        except self._integrity as error:
            self._cursor.execute(f"ROLLBACK TO SAVEPOINT {_TRY}")
            return f"{first_line(error)} (constraint {error.diag.constraint_name})"
        return self._delete_rest()

    def _passes(self) -> None:
        progress = True
        while progress:
            progress = False
            for stage in reversed(self._batch):
                progress |= self._delete_free(stage)
            for stage in self._batch:
                numbers = self._left[stage.table.name]
                if numbers:
                    left = self._upsert(stage, numbers)
                    progress |= len(left) < len(numbers)
                    self._left[stage.table.name] = left
            progress = progress and any(self._left.values())

    def _delete_free(self, stage: Stage) -> bool:
        """Delete the vanished rows that no other row refers to."""
        free = "".join(
            f" AND NOT EXISTS (SELECT FROM {qualified(*key.child)} AS c WHERE {key.joins('c', 't')}"
            + (" AND c.ctid <> t.ctid)" if key.child == key.parent else ")")
            for key in self._facts.foreign_keys
            if key.parent == stage.name
        )
        deleted = 0
        with hashing(self._cursor):
            while True:
                self._cursor.execute(stage.delete + free)
                if not self._cursor.rowcount:
                    break
                deleted += self._cursor.rowcount
        return deleted > 0

    def _attempt(self, statements: list[tuple[str, Any]]) -> Any:
        """Run statements; the error of integrity that undid them, or None."""
        self._cursor.execute(f"SAVEPOINT {_TRY}")
        try:
            for statement, values in statements:
                self._cursor.execute(statement, values)
        except self._integrity as error:
            self._cursor.execute(f"ROLLBACK TO SAVEPOINT {_TRY}; RELEASE SAVEPOINT {_TRY}")
            return error
        self._cursor.execute(f"RELEASE SAVEPOINT {_TRY}")
        return None

    def _upsert(self, stage: Stage, numbers: list[int]) -> list[int]:
        """Write rows; those that are left."""
        update = [(stage.update_some, (numbers,))] if stage.update_some else []
        return self._halves(
            stage, numbers, lambda some: [*((s, (some,)) for s, _ in update), (stage.insert_some, (some,))]
        )

    def _halves(self, stage: Stage, numbers: list[int], statements: Any) -> list[int]:
        error = self._attempt(statements(numbers))
        if error is None:
            return []
        if len(numbers) == 1:
            self._note(stage, numbers[0], error)
            return numbers
        middle = len(numbers) // 2
        return [left for half in (numbers[:middle], numbers[middle:]) for left in self._halves(stage, half, statements)]

    def _note(self, stage: Stage, number: int, error: Any) -> None:
        if error.pgcode in ("23514", "23502"):
            name = error.diag.constraint_name or f"NOT NULL of column {error.diag.column_name}"
            raise Refused(
                f"table {stage.table.name}, row {stage.key_at(self._cursor, number)}: PostgreSQL does not take it: constraint "
                f"{name} ({error.diag.message_primary}). Mend the row in the source, or leave the constraint out of the plan."
            )
        self._why[stage.table.name, number] = (error.pgcode, error.diag.constraint_name or "", first_line(error))

    def _stuck(self, stage: Stage, codes: tuple[str, ...]) -> list[int]:
        return [n for n in self._left[stage.table.name] if self._why[stage.table.name, n][0] in codes]

    def _without_references(self) -> bool:
        """Insert rows that wait for each other with NULL instead of their references; they are filled in afterwards."""
        done = False
        for stage in self._batch:
            numbers = self._stuck(stage, _FOREIGN_KEY)
            empty = {c for key in self._facts.foreign_keys if key.child == stage.name for c in key.nullable}
            empty -= {column.target for column in stage.sent.columns if column.name in stage.table.key}
            if not numbers or not empty:
                continue
            statement = stage.insert_without(empty)
            before = self._count(stage)
            self._quietly(stage, numbers, statement)
            done |= self._count(stage) > before
        return done

    def _count(self, stage: Stage) -> int:
        self._cursor.execute(
            f"SELECT count(*) FROM {stage.rows} AS s JOIN {stage.target} AS t ON {stage.same('t', 's')}"
        )
        return int(self._cursor.fetchone()[0])

    def _quietly(self, stage: Stage, numbers: list[int], statement: str) -> None:
        """As ``_halves``, for a state in between: that a row does not take it means nothing."""
        if self._attempt([(statement, (numbers,))]) is None or len(numbers) == 1:
            return
        middle = len(numbers) // 2
        for half in (numbers[:middle], numbers[middle:]):
            self._quietly(stage, half, statement)

    def _out_of_the_way(self) -> bool:
        """Give rows that hold each other's unique values others for a moment, so that each can take its own."""
        done = False
        for stage in self._batch:
            numbers = self._stuck(stage, _UNIQUE)
            for index in sorted({self._why[stage.table.name, n][1] for n in numbers}):
                key = (stage.table.name, index)
                if key not in self._moved:
                    self._moved.add(key)
                    done |= self._move(stage, numbers, index_columns(self._cursor, stage.name[0], index))
        return done

    def _move(self, stage: Stage, numbers: list[int], columns: list[UniqueColumn]) -> bool:
        keys = {column.target for column in stage.sent.columns if column.name in stage.table.key}
        number = f"(s.{NUMBER} - {min(numbers)})"
        sent = {column.target for column in stage.sent.columns}
        for column in columns:
            if column.name in keys or column.name not in sent:
                continue
            values = [] if column.in_foreign_key else list(_FOR_A_MOMENT.get(column.type, ()))
            for value in ["NULL"] * column.nullable + values:
                name = quote(column.name)
                moved = (
                    f"UPDATE {stage.target} AS t SET {name} = {value.format(n=number)} FROM {stage.rows} AS s"
                    f" WHERE {stage.same('t', 's')}"
                )
                if self._attempt_any(escaped(moved) + f" AND s.{NUMBER} = ANY(%s)", numbers):
                    return True
        return False

    def _attempt_any(self, statement: str, numbers: list[int]) -> bool:
        """Whether a statement for a state in between went through and changed something."""
        self._cursor.execute(f"SAVEPOINT {_TRY}")
        try:
            self._cursor.execute(statement, (numbers,))
            changed = bool(self._cursor.rowcount > 0)
        except (self._integrity, self._cursor.connection.DataError):
            self._cursor.execute(f"ROLLBACK TO SAVEPOINT {_TRY}")
            changed = False
        self._cursor.execute(f"RELEASE SAVEPOINT {_TRY}")
        return changed

    def _delete_rest(self) -> str | None:
        """Delete vanished rows that refer to each other. All others are written, so what refers to them now is to stay."""
        gone: dict[tuple[str, str], Stage] = {}
        for stage in self._batch:
            if stage.key_names:
                self._cursor.execute(f"SELECT EXISTS (SELECT FROM {stage.gone})")
                if self._cursor.fetchone()[0]:
                    gone[stage.name] = stage
        for key in self._facts.foreign_keys:
            if key.parent in gone and (found := self._referring(key, gone)):
                return found
        error: Any = None
        for empty in (False, True):
            if empty:
                self._forget(gone)
            error = self._attempt([(stage.delete, None) for stage in reversed(self._batch) if stage.name in gone])
            if error is None:
                return None
        return f"{first_line(error)} (constraint {error.diag.constraint_name})"

    def _referring(self, key: ForeignKey, gone: dict[tuple[str, str], Stage]) -> str | None:
        """What there is to say when rows that stay refer to vanished ones through ``key``."""
        if not referred(self._cursor, key, gone):
            return None
        return (
            f"rows of {'.'.join(key.child)} refer to vanished rows of {'.'.join(key.parent)} (constraint {key.name}); "
            "the source does not enforce the reference"
        )

    def _forget(self, gone: dict[tuple[str, str], Stage]) -> None:
        """Let vanished rows refer to nothing, where they may."""
        for stage in gone.values():
            empty = {c for key in self._facts.foreign_keys if key.child == stage.name for c in key.nullable}
            empty -= {column.target for column in stage.sent.columns if column.name in stage.table.key}
            if empty:
                assigned = ", ".join(f"{quote(name)} = NULL" for name in sorted(empty))
                update = (
                    f"UPDATE {stage.target} AS t SET {assigned} FROM {stage.gone} AS g WHERE {stage.same('t', 'g')}"
                )
                self._attempt([(update, None)])

    def _problem(self) -> str:
        """What stands in the way of the first row that is left."""
        for stage in self._batch:
            for number in self._left[stage.table.name]:
                _, constraint, message = self._why[stage.table.name, number]
                key = stage.key_at(self._cursor, number)
                return f"table {stage.table.name}, row {key}: {message} (constraint {constraint})"
        return "nothing is left"


def referred(cursor: Any, key: ForeignKey, gone: dict[tuple[str, str], Stage]) -> bool:
    """Whether a row that stays refers through ``key`` to one that is to be deleted."""
    parent, child = gone[key.parent], gone.get(key.child)
    stays = f" AND NOT EXISTS (SELECT FROM {child.gone} AS d WHERE {child.same('c', 'd')})" if child else ""
    with hashing(cursor):
        cursor.execute(
            f"SELECT EXISTS (SELECT FROM {parent.gone} AS g JOIN {parent.target} AS p ON {parent.same('p', 'g')}"
            f" JOIN {qualified(*key.child)} AS c ON {key.joins('c', 'p')} WHERE true{stays})"
        )
        found = bool(cursor.fetchone()[0])
    return found
