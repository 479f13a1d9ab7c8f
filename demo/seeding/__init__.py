# SPDX-License-Identifier: GPL-3.0-or-later
"""Content for the reference database: the same rows every time for a scale."""
