# SPDX-License-Identifier: GPL-3.0-or-later
"""What gunicorn imports. An error here stops gunicorn instead of starting workers for ever."""

from __future__ import annotations

from . import create_app

application = create_app()
