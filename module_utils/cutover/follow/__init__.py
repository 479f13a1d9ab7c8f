# SPDX-License-Identifier: GPL-3.0-or-later
"""Applying the change log to PostgreSQL, until the lag is small."""
