# SPDX-License-Identifier: GPL-3.0-or-later
"""The load generator: standard library only, so that any machine with Python can run it."""
