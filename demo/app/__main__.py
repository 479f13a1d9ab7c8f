# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m app`: check the settings without connecting; prints which kind of database they name."""

from __future__ import annotations

import sys

from .config import SettingsError, load_settings
from .database import open_engine

try:
    print(open_engine(load_settings().database_url).dialect.name)
except (SettingsError, ValueError) as error:
    sys.exit(str(error))
