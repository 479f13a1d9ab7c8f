# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host of a source says of it: is the file there, and how far is its migration."""

from __future__ import annotations

import datetime as dt
import glob
import os
from typing import Any

from ..errors import CutoverError
from ..journal import Journal, state_dir
from ..stage import stage

_MAGIC = b"SQLite format 3\0"


def found(pattern: str) -> list[str]:
    """The files that a pattern matches; what SQLite keeps beside them is not meant."""
    return sorted(
        path for path in glob.glob(pattern) if os.path.isfile(path) and not path.endswith(("-wal", "-shm", "-journal"))
    )


def look(path: str, name: str, folder: str | None) -> dict[str, Any]:
    """{problem, real, stage, unchanged} of one source. problem: what is wrong with the file, empty when nothing is."""
    current, since = None, None
    try:
        events = Journal(state_dir(name, folder)).events()
        current = stage(events)[0]
        since = next((event["at"] for event in reversed(events) if event.get("phase") == "snapshot"), None)
    except (CutoverError, OSError):
        # The tenant's own run says what is wrong with its journal.
        pass
    return {
        "problem": _problem(path),
        "real": os.path.realpath(path),
        "stage": current,
        "unchanged": since is not None and _older(path, since),
    }


def _problem(path: str) -> str:
    try:
        with open(path, "rb") as file:
            head = file.read(len(_MAGIC))
    except FileNotFoundError:
        return "does not exist"
    except IsADirectoryError:
        return "is a directory, not a SQLite file"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    # An empty file is an empty database.
    return "" if head in (b"", _MAGIC) else "is not a SQLite file"


def _older(path: str, since: str) -> bool:
    """Whether neither the file nor its log was written to since a moment of the journal."""
    moment = dt.datetime.fromisoformat(since.replace("Z", "+00:00")).timestamp()
    for each in (path, path + "-wal"):
        try:
            if os.stat(each).st_mtime >= moment:
                return False
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True
