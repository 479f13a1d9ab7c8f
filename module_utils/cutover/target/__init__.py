# SPDX-License-Identifier: GPL-3.0-or-later
"""The target: everything that is known of PostgreSQL. Knows nothing of SQLite."""
