# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the corpus into a new SQLite file: `python -m corpus FILE`."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from corpus import CASES, fill


def main() -> None:
    """Write the file that the command line names."""
    path = Path(sys.argv[1])
    if path.exists():
        sys.exit(f"{path}: is there already")
    with closing(sqlite3.connect(path)) as connection:
        fill(connection, CASES.values())
    print(f"{path}: {len(CASES)} cases")


if __name__ == "__main__":
    main()
