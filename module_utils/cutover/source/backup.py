# SPDX-License-Identifier: GPL-3.0-or-later
"""Consistent copies of the source by SQLite's backup API: the backup that is kept, and the snapshot that is copied."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Callable
from typing import Any

from ..errors import SourceError
from ..progress import Progress
from .connect import ERRORS, check_file, explain, open_readonly
from .describe import file_size
from .fence import lift_statements

_PAGES = 4_096
#: What integrity_check tells of sound rows that contradict NOT NULL, CHECK or a type; the plan and the check of values
#: find what of it matters.
_UNDECLARED = re.compile(r"(NULL|NUMERIC|TEXT|non-[A-Z]+) value in |CHECK constraint failed in ")


def signature(path: str) -> list[list[int]]:
    """What changes whenever the file is written: size, time of change and inode of the file and its log."""
    found: list[list[int]] = []
    for end in ("", "-wal", "-journal"):
        try:
            status = os.stat(path + end)
        except FileNotFoundError:
            continue
        # An empty log comes and goes with readers; only its contents are writes.
        if status.st_size or not end:
            found.append([status.st_size, status.st_mtime_ns, status.st_ino])
    return found


def integrity(connection: sqlite3.Connection, path: str) -> None:
    """Raise SourceError unless ``PRAGMA integrity_check`` finds the whole file sound."""
    try:
        # A high limit, for rows that break a declaration are told too and must not hide what is damaged.
        rows = (str(row[0]) for row in connection.execute("PRAGMA integrity_check(1000000)"))
        found = list(itertools.islice((row for row in rows if row != "ok" and not _UNDECLARED.match(row)), 5))
    except ERRORS as error:
        raise explain(path, error) from None
    if found:
        raise SourceError(
            f"{path}: integrity_check finds damage: {'; '.join(found)}. Restore the file from a backup or rebuild it "
            "(`.recover` of the sqlite3 shell); pg-cutover does not move a damaged database."
        )


def backup(
    source_path: str,
    path: str,
    progress: str | None = None,
    check_mode: bool = False,
    keep: Callable[[str], bool] | None = None,
) -> dict[str, Any]:
    """Copy the source to ``path`` unless the copy that is there was made of the source as it is now.

    keep: asked about a complete copy of an earlier state of the source; where it says yes, that copy stays.
    The copy is made in one step of SQLite's, checked by integrity_check, written to disk and only then named ``path``
    (mode 0600). Returns {path, bytes, sha256, created, changed}. Raises SourceError.
    """
    check_file(source_path)
    before = signature(source_path)
    known = read_note(path)
    complete = known is not None and _size(path) == known["bytes"]
    if known and complete and (known["signature"] == before or (keep is not None and keep(path))):
        return {**{name: known[name] for name in ("path", "bytes", "sha256", "created")}, "changed": False}
    needed = file_size(source_path)
    folder = os.path.dirname(path)
    free = shutil.disk_usage(folder if os.path.isdir(folder) else "/").free
    if free < needed + (64 << 20):
        raise SourceError(f"{folder}: has {free >> 20} MiB free, the copy of {source_path} needs {needed >> 20} MiB.")
    if check_mode:
        return {"path": path, "bytes": needed, "sha256": None, "created": None, "changed": True}
    temporary = path + ".part"
    _remove(temporary)
    shown = Progress(progress, "backup", 0, needed)
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600))
        _copy_pages(source_path, temporary, shown)
        digest = _finish(temporary)
        os.replace(temporary, path)
    except ERRORS as error:
        if _is_of_the_copy(error):
            raise SourceError(f"{path}: the copy of the source cannot be written ({error}).") from None
        raise explain(source_path, error) from None
    except OSError as error:
        raise SourceError(f"{path}: the copy of the source cannot be written ({error.strerror}).") from None
    finally:
        _remove(temporary)
        shown.close()
    note = {
        "path": path,
        "bytes": _size(path),
        "sha256": digest,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        # Taken before the copy: a write meanwhile makes the next run copy again.
        "signature": before,
    }
    _write_note(path, note)
    return {**{name: note[name] for name in ("path", "bytes", "sha256", "created")}, "changed": True}


def _is_of_the_copy(error: Exception) -> bool:
    """True when writing failed, not reading. Python tells the exact code from 3.11 on."""
    name = getattr(error, "sqlite_errorname", "")
    return "disk is full" in str(error) or name.startswith(("SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC"))


def _copy_pages(source_path: str, temporary: str, shown: Progress) -> None:
    source = open_readonly(source_path)
    target = sqlite3.connect(temporary, isolation_level=None)
    try:
        page = int(source.execute("PRAGMA page_size").fetchone()[0])
        last = [0]

        def report(_status: int, remaining: int, total: int) -> None:
            done = (total - remaining) * page
            shown.advance("", 0, max(0, done - last[0]))
            last[0] = done

        # One read transaction around all steps: a writer cannot make the copy start over or tear it.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        source.backup(target, pages=_PAGES, progress=report, sleep=0)
        source.execute("COMMIT")
        # A copy stands alone: no log beside it, readable from a read-only folder, and never fenced.
        target.execute("PRAGMA journal_mode = DELETE")
        for statement in lift_statements(target):
            target.execute(statement)
        # Damage is the source's, and the copy is gone when the operator reads of it.
        integrity(target, source_path)
    finally:
        source.close()
        target.close()


def _finish(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
        os.fsync(file.fileno())
    return digest.hexdigest()


def read_note(path: str) -> dict[str, Any] | None:
    """What was noted beside a copy when it was made; None without a complete note and copy."""
    try:
        with open(path + ".json", encoding="utf-8") as file:
            note: dict[str, Any] = json.load(file)
        return note if os.path.exists(path) else None
    except (OSError, ValueError):
        return None


def _write_note(path: str, note: dict[str, Any]) -> None:
    with open(path + ".json.part", "w", encoding="utf-8") as file:
        json.dump(note, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".json.part", path + ".json")


def remove(path: str, check_mode: bool = False) -> bool:
    """Remove a copy and its note; True if there was one."""
    there = os.path.exists(path)
    if not check_mode:
        _remove(path)
        _remove(path + ".json")
    return there


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return -1
