# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back: what the application writes to PostgreSQL is replayed into the fenced SQLite file, so that none is lost."""
