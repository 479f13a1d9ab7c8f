# SPDX-License-Identifier: GPL-3.0-or-later
"""Write-ahead logging: without it each read of the engine would block the application's writes."""

from __future__ import annotations


def arrange(path: str, consent: bool, check_mode: bool = False) -> str:
    """See to it that the source is in WAL mode; return the mode it had.

    Raises Refused without consent, SourceError when the switch is not to be had. Call it once with check_mode before
    the capture is installed and once after, for the former mode is noted in the capture.
    """
    raise NotImplementedError


def put_back(path: str, check_mode: bool = False) -> str | None:
    """Give the source the journal mode back that ``arrange`` found; return what kept it from doing so, None if nothing.

    Call it before ``install.remove``.
    """
    raise NotImplementedError
