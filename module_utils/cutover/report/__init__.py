# SPDX-License-Identifier: GPL-3.0-or-later
"""The report: what a run did, from its journal. Pure functions over plain data; standard library only.

``build`` makes report.json and decides ``ok``; ``preflight`` makes preflight.json; ``page`` prepares every
text of report.html; ``summary`` and ``preflight_summary`` are what the terminal shows;
``together`` gathers the entries that settle findings.
"""

from __future__ import annotations

from .build import build, preflight
from .decide import together
from .page import page
from .redact import redact
from .summary import preflight_summary, summary

__all__ = ["build", "page", "preflight", "preflight_summary", "redact", "summary", "together"]
