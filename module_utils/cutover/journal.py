# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of a migration: a durable record, on the source's host and in PostgreSQL, of which phase is done."""

from __future__ import annotations

import datetime as dt
import json
import os
from typing import Any

from .errors import CutoverError
from .own import own_schema
from .target.connect import qualified
from .target.mine import recorded

_FILE = "journal.jsonl"


def state_dir(name: str, given: str | None = None) -> str:
    """The folder of a migration's state on this host: as given, or by the kind of user."""
    if given:
        return given
    if os.geteuid() == 0:
        return os.path.join("/var/lib/pg-cutover", name)
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(base, "pg-cutover", name)


def make_state_dir(path: str) -> None:
    """Create the folder, readable by its owner only. Raises CutoverError."""
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as error:
        raise CutoverError(
            f"{path}: cannot be created ({error.strerror}); set cutover_state_dir to a writable folder."
        ) from None


def now() -> str:
    """The current time as the journal writes it: ISO 8601, UTC, microseconds."""
    return dt.datetime.now(dt.timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Journal:
    """Append-only list of events in a folder; each line is on disk before ``append`` returns."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, _FILE)

    def events(self) -> list[dict[str, Any]]:
        """All events, oldest first. A last line that a crash cut short is left out."""
        try:
            with open(self._path, encoding="utf-8") as file:
                lines = file.read().split("\n")
        except FileNotFoundError:
            return []
        found: list[dict[str, Any]] = []
        for number, text in enumerate(lines, 1):
            if not text:
                continue
            try:
                found.append(json.loads(text))
            except ValueError:
                if any(lines[number:]):
                    raise CutoverError(
                        f"{self._path}: line {number} is damaged; restore the file from PostgreSQL's copy."
                    ) from None
        return found

    def append(
        self,
        event: str,
        run: str,
        phase: str | None = None,
        state: str | None = None,
        detail: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Record an event durably and return it."""
        events = self.events()
        entry = {
            "seq": events[-1]["seq"] + 1 if events else 1,
            "at": now(),
            "run": run,
            "event": event,
            "phase": phase,
            "state": state,
            "detail": detail or {},
        }
        fresh = not os.path.exists(self._path)
        with open(self._path, "a", encoding="utf-8") as file:
            os.chmod(self._path, 0o600)
            if not fresh and not self._ends_with_newline():
                # What a crash cut short is closed off, so that this event gets a line of its own.
                self._drop_torn_line()
            file.seek(0, os.SEEK_END)
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())
        if fresh:
            folder = os.open(os.path.dirname(self._path), os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        return entry

    def _ends_with_newline(self) -> bool:
        with open(self._path, "rb") as file:
            file.seek(0, os.SEEK_END)
            if not file.tell():
                return True
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def _drop_torn_line(self) -> None:
        with open(self._path, "rb+") as file:
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)

    def mirror(self, connection: Any, schema: str, name: str) -> int:
        """Copy the events that PostgreSQL does not have yet beside the record of the migration; return how many.

        The connection is in autocommit.
        """
        table = qualified(own_schema(schema), "journal")
        with connection.cursor() as cursor:
            if name not in (recorded(cursor, schema) or ()):
                return 0
            cursor.execute(f"SELECT coalesce(max(seq), 0) FROM {table}")
            last = cursor.fetchone()[0]
            missing = [entry for entry in self.events() if entry["seq"] > last]
            for entry in missing:
                cursor.execute(
                    f"INSERT INTO {table} (seq, entry) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                    (entry["seq"], json.dumps(entry)),
                )
        return len(missing)
