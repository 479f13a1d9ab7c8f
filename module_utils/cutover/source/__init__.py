# SPDX-License-Identifier: GPL-3.0-or-later
"""The source: everything that is known of SQLite. Knows nothing of PostgreSQL."""
