# SPDX-License-Identifier: GPL-3.0-or-later
"""What the capture is called in the SQLite file. Everything begins with OWN_PREFIX, so it is never described or carried."""

from __future__ import annotations

from ..source.describe import OWN_PREFIX

#: (seq INTEGER PRIMARY KEY, t: the table's number, k0, k1, …: its key). No other unique key: an outer conflict clause
#: of the application would act on it.
LOG = OWN_PREFIX + "log"
#: One row: what is captured, and the identity of the log.
CAPTURE = OWN_PREFIX + "capture"
#: The triggers: this, the table's number, and what it is for.
TRIGGER = OWN_PREFIX + "capture_"


def key_column(number: int) -> str:
    """The log's column for the key column of this number, from 0."""
    return f"k{number}"
