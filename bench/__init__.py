# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark. It uses the engine (`cutover`) and the tests' temporary PostgreSQL (`support`), found here."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[1:1] = [str(ROOT / "module_utils"), str(ROOT / "tests")]


class BenchError(Exception):
    """The benchmark cannot go on, or a result is wrong; the message says why."""
