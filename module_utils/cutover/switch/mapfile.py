# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of HAProxy's map: what the proxy reads when it starts or reloads."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Mapping

Replace = Callable[[str, str], None]


def text_of(path: str) -> str:
    """The file's text. Raises OSError."""
    with open(path, encoding="utf-8") as file:
        return file.read()


def with_entries(text: str, entries: Mapping[str, str]) -> str:
    """The text with entries replaced or added; comments and other keys stay."""
    lines: list[str] = []
    done: set[str] = set()
    for line in text.splitlines():
        key = "".join(line.split(None, 1)[:1])
        if key not in entries:
            lines.append(line)
        elif key not in done:
            lines.append(f"{key} {entries[key]}")
            done.add(key)
    lines.extend(f"{key} {value}" for key, value in entries.items() if key not in done)
    return "\n".join(lines) + "\n"


def entries_of(text: str) -> dict[str, str]:
    """The entries as HAProxy reads them: the first of two lines with one key counts."""
    entries: dict[str, str] = {}
    for line in text.splitlines():
        words = line.split(None, 1)
        if words and not words[0].startswith("#"):
            entries.setdefault(words[0], words[1].strip() if len(words) == 2 else "")
    return entries


def write(path: str, text: str, replace: Replace | None = None, durable: bool = True) -> None:
    """Replace the file in one step; owner and mode stay.

    replace: takes the temporary file and the path (Ansible's atomic_move); by default a rename within the folder.
    durable: on disk before this returns, which may take as long as a hold. Raises OSError.
    """
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".cutover-map-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if replace is not None:
            replace(temporary, path)
            return
        there = os.stat(path)
        os.chmod(temporary, there.st_mode & 0o7777)
        if os.geteuid() == 0:
            os.chown(temporary, there.st_uid, there.st_gid)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
