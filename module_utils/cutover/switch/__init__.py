# SPDX-License-Identifier: GPL-3.0-or-later
"""The critical section: writes are held, the last changes drained, one side closed, the other opened, the route switched.

``forward`` takes the application from SQLite to PostgreSQL, ``back`` the other way; each is one process, with a
deadline on every wait. ``gate`` says beforehand whether it may begin; ``settle`` finishes or takes back what a killed
process left, and ``guardian`` does so at once when that happens. ``proxy`` commands the proxies.
"""
