# SPDX-License-Identifier: GPL-3.0-or-later
"""Write-ahead logging: without it each read of the engine would block the application's writes."""

from __future__ import annotations

import sqlite3
import time

from ..errors import Refused, SourceError
from ..source.connect import ERRORS, explain, open_readonly, open_writable
from ..source.integrity import holders
from . import standing
from .names import CAPTURE

#: How long the switch waits for a moment in which nobody reads or writes.
WAIT_SECONDS = 30.0
#: Putting the mode back needs a moment in which nobody has the file open: that comes at once, or not at all.
BACK_SECONDS = 2.0
_PAUSE_SECONDS = 0.05


def mode(path: str) -> str:
    """The journal mode of the source, as SQLite tells it to a new connection: ``wal`` or ``delete``."""
    connection = open_readonly(path)
    try:
        return str(connection.execute("PRAGMA journal_mode").fetchone()[0])
    except ERRORS as error:
        raise explain(path, error) from None
    finally:
        connection.close()


def arrange(path: str, consent: bool, check_mode: bool = False) -> str:
    """See to it that the source is in WAL mode; return the mode it had.

    Raises Refused without consent, SourceError when the switch is not to be had. Call it once with check_mode before
    the capture is installed and once after, for the former mode is noted in the capture.
    """
    found = mode(path)
    if found == "wal":
        return found
    if not consent:
        raise Refused(
            f"{path}: its journal mode is {found}, in which reading the file for the cutover would block the application's "
            "writes. Set cutover_source_wal: true to let this run switch it to WAL (the application needs no change; the "
            "file must not lie on a network file system), or cutover_strategy: maintenance."
        )
    if check_mode:
        return found
    connection = open_writable(path, 1.0)
    try:
        why = _switch(connection, "wal", WAIT_SECONDS, found)
    except ERRORS as error:
        raise explain(path, error) from None
    finally:
        connection.close()
    if why is not None:
        raise SourceError(
            f"{path}: could not be switched to WAL within {WAIT_SECONDS:.0f} s ({why}).{_open_in(path)} End the long "
            "transaction and run again, or use cutover_strategy: maintenance. The file is as it was."
        )
    return found


def put_back(path: str, check_mode: bool = False) -> str | None:
    """Give the source the journal mode back that ``arrange`` found; return what kept it from doing so, None if nothing.

    Call it before ``install.remove``.
    """
    connection = open_writable(path, 1.0)
    former = ""
    try:
        note = standing.read_note(connection)
        if note is None or note.journal_mode is None or check_mode:
            return None
        former = note.journal_mode
        why = _switch(connection, former, BACK_SECONDS)
        if why is None:
            connection.execute(f"UPDATE {CAPTURE} SET journal_mode = NULL")
            return None
    except ERRORS as error:
        why = str(error)
    finally:
        connection.close()
    return (
        f"{path} stays in WAL mode ({why}).{_open_in(path)} It does no harm; PRAGMA journal_mode = {former} "
        "puts it back while the application is stopped."
    )


def _switch(connection: sqlite3.Connection, wanted: str, seconds: float, note: str | None = None) -> str | None:
    """What kept SQLite from switching until the end; None when it switched. note: the mode to note in the capture."""
    until = time.monotonic() + seconds
    while True:
        try:
            if note is not None and standing.read_note(connection) is not None:
                # Before the switch: a run that is killed between still knows what to go back to.
                connection.execute(f"UPDATE {CAPTURE} SET journal_mode = ?", (note,))
            found = str(connection.execute(f"PRAGMA journal_mode = {wanted}").fetchone()[0])
            if found == wanted:
                return None
            why = f"SQLite stays in mode {found}"
        except sqlite3.OperationalError as error:
            if "locked" not in str(error).lower():
                raise
            why = str(error)
        if time.monotonic() > until:
            return why
        time.sleep(_PAUSE_SECONDS)


def _open_in(path: str) -> str:
    others = holders(path)
    return f" It is open in {', '.join(others[:6])}." if others else ""
