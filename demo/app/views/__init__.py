# SPDX-License-Identifier: GPL-3.0-or-later
"""What the application serves, one module a subject."""
