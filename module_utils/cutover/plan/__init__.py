# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: what becomes of every table and column. Knows no connections."""
