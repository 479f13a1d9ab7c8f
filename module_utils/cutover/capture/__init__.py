# SPDX-License-Identifier: GPL-3.0-or-later
"""The change log of the source: triggers that name every changed row, how the log is read, and what would spoil it."""
