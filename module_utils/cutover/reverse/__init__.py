# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying what is written on PostgreSQL back into the SQLite file, so that going back loses nothing."""
