# SPDX-License-Identifier: GPL-3.0-or-later
"""A process beside the engine that settles the switch when the engine is killed in the middle of it."""

from __future__ import annotations
