# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that the plan is derived from: the description of the source and a profile of each table."""

from __future__ import annotations

from typing import Any, Callable

from ..errors import Finding
from ..progress import Progress
from ..workers import run
from .backup import integrity
from .connect import ERRORS, explain, open_readonly
from .describe import describe
from .fence import fence_id
from .integrity import holders
from .model import Description, Table
from .profile import Span, TableProfile, merged, profile, spans


def survey(
    path: str, temporal: Callable[[str], bool], workers: int, progress: str | None = None, sound: bool = True
) -> dict[str, Any]:
    """Describe and profile the source.

    sound: run integrity_check as well. Returns {description, profiles, fence, findings}. Raises SourceError.
    """
    connection = open_readonly(path)
    try:
        described = describe(connection, path)
        fence = fence_id(connection)
        if sound:
            integrity(connection, path)
    except ERRORS as error:
        raise explain(path, error) from None
    finally:
        connection.close()
    profiles = _profiles(described, path, temporal, workers, progress)
    return {
        "description": described.as_dict(),
        "profiles": {name: profiles[name].as_dict() for name in sorted(profiles)},
        "fence": fence,
        "findings": [finding.as_dict() for finding in _findings(described, path, fence)],
    }


def _profiles(
    described: Description, path: str, temporal: Callable[[str], bool], workers: int, progress: str | None
) -> dict[str, TableProfile]:
    shown = Progress(progress, "profile", 0, described.size_bytes)
    connection = open_readonly(path)
    try:
        tasks = [(table, span) for table in described.tables for span in spans(connection, table)]
    except ERRORS as error:
        raise explain(path, error) from None
    finally:
        connection.close()
    parts: dict[str, list[TableProfile]] = {table.name: [] for table in described.tables}

    def start() -> Callable[[tuple[Table, Span]], TableProfile]:
        # Text is measured inside SQLite; what is not valid UTF-8 must not stop a sum or a maximum.
        source = open_readonly(path, bytearray)

        def handle(task: tuple[Table, Span]) -> TableProfile:
            try:
                return profile(source, task[0], temporal, task[1])
            except ERRORS as error:
                raise explain(path, error) from None

        return handle

    def collect(task: tuple[Table, Span], result: TableProfile) -> None:
        parts[task[0].name].append(result)
        shown.advance(task[0].name, result.rows, result.bytes)

    run(tasks, start, workers, collect)
    shown.close()
    connection = open_readonly(path, bytearray)
    try:
        return {table.name: merged(connection, table, parts[table.name]) for table in described.tables}
    except ERRORS as error:
        raise explain(path, error) from None
    finally:
        connection.close()


def _findings(described: Description, path: str, fence: str | None) -> tuple[Finding, ...]:
    found = []
    if not described.tables:
        found.append(Finding("error", f"{path}: holds no table, so there is nothing to move."))
    others = holders(path)
    if others and fence is None:
        found.append(
            Finding(
                "info",
                f"{path} is open in {', '.join(others[:6])}; from the fence on, whoever writes to it gets an error",
            )
        )
    if described.encoding != "UTF-8":
        found.append(Finding("info", f"the database is encoded in {described.encoding}; text arrives as UTF-8"))
    return tuple(found)
