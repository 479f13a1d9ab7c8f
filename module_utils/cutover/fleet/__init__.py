# SPDX-License-Identifier: GPL-3.0-or-later
"""Several sources in one run: which they are, the runs of their own, and what came of them."""
