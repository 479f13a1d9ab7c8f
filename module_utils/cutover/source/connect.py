# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening the SQLite file, with one clear message for every way in which that fails."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterator
from typing import Any, Callable
from urllib.parse import quote as url_quote

from ..errors import SourceError

#: What the sqlite3 module raises; the second when SQLite's own message quotes a name that is no UTF-8, as damage leaves it.
ERRORS = (sqlite3.Error, UnicodeDecodeError)


def check_file(path: str) -> None:
    """Raise SourceError unless ``path`` is a readable file that is not empty; what is in it SQLite tells."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise SourceError(f"{path}: there is no such file. Check cutover_source_path on this host.") from None
    except OSError as error:
        raise SourceError(
            f"{path}: cannot be reached ({error.strerror}). Check the permissions of its folders."
        ) from None
    if not stat.S_ISREG(status.st_mode):
        raise SourceError(f"{path}: is not a regular file. cutover_source_path must name the SQLite database file.")
    # Never opened here but by SQLite: a POSIX lock ends as soon as its process closes the file anywhere. The file would look
    # unused beside a connection that this process has, and the last connection of the application would remove the
    # write-ahead log that the engine's fence is written to.
    if not os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        raise SourceError(f"{path}: cannot be read (Permission denied). Run as the file's owner or with become.")
    if not status.st_size:
        raise SourceError(f"{path}: is empty, so it is no SQLite database with data.")


def surrogate_text(raw: bytes) -> str:
    """Names and SQL as text even where they are not valid UTF-8."""
    return raw.decode("utf-8", "surrogateescape")


def open_readonly(
    path: str,
    text: type | Callable[[bytes], Any] = surrogate_text,
    timeout: float = 5.0,
) -> sqlite3.Connection:
    """Open ``path`` for reading only.

    text: how TEXT values arrive; the engine reads data with ``bytearray``, so that TEXT (bytearray) and
    BLOB (bytes) stay apart without decoding. timeout: seconds to wait for a lock.
    Raises SourceError when the file is missing, unreadable, encrypted, corrupt or locked.
    """
    check_file(path)
    return _connect(path, "ro", text, timeout)


def open_writable(path: str, timeout: float = 10.0) -> sqlite3.Connection:
    """Open ``path`` for writing, never creating it. Only the fence needs this. Raises SourceError."""
    check_file(path)
    return _connect(path, "rw", surrogate_text, timeout)


def _connect(path: str, mode: str, text: type | Callable[[bytes], Any], timeout: float) -> sqlite3.Connection:
    uri = f"file:{url_quote(os.path.abspath(path))}?mode={mode}"
    try:
        connection = sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)
    except ERRORS as error:
        raise explain(path, error) from None
    try:
        connection.text_factory = text
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except ERRORS as error:
        connection.close()
        raise explain(path, error) from None
    return connection


@contextlib.contextmanager
def as_text(connection: sqlite3.Connection) -> Iterator[None]:
    """Read names and SQL on a connection that reads data: its text_factory is another one meanwhile."""
    before = connection.text_factory
    connection.text_factory = surrogate_text
    try:
        yield
    finally:
        connection.text_factory = before


def explain(path: str, error: Exception) -> SourceError:
    """The SourceError that tells an operator what a SQLite error means for the file."""
    text = "malformed names" if isinstance(error, UnicodeDecodeError) else str(error)
    lower = text.lower()
    if "not a database" in lower:
        return SourceError(
            f"{path}: is no SQLite database, or it is encrypted ({text}). An encrypted file (SQLCipher, SEE) has to be exported "
            "to a plain SQLite file first."
        )
    if "malformed" in lower or "disk i/o" in lower or "corrupt" in lower:
        return SourceError(
            f"{path}: is corrupt ({text}). Restore it from a backup or rebuild it with `sqlite3 {path} .recover`; "
            "pg-cutover does not move a damaged database."
        )
    if "locked" in lower or "busy" in lower:
        return SourceError(
            f"{path}: is locked by another process ({text}). Find the long transaction that holds it and run again."
        )
    if "readonly" in lower and os.path.exists(f"{path}-journal"):
        return SourceError(
            f"{path}: a writer that was killed left its journal ({path}-journal), and what it had not committed has to be "
            f"rolled back first. Start the application once, or run `sqlite3 {path} 'SELECT count(*) FROM sqlite_master'`, "
            "as the file's owner."
        )
    if "unable to open" in lower or "readonly" in lower:
        return SourceError(
            f"{path}: cannot be opened ({text}). In WAL mode the folder must be writable for the user that reads it."
        )
    return SourceError(f"{path}: {text}.")
