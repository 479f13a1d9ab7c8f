# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes passwords out of texts. Callers hand over redacted URLs already; this is the second lock on the door.

It would rather hide too much than too little.
"""

from __future__ import annotations

import re
from typing import Any

HIDDEN = "***"

#: Keys of mappings whose value is a secret whatever it looks like.
_SECRET_KEY = re.compile(r"pass(word|wd|phrase)?$|secret|token|private_?key", re.IGNORECASE)

#: In a PostgreSQL URL the password is not always percent-encoded as it should be: all up to the last @ goes.
_POSTGRES_URL = re.compile(r"(\bpostgres(?:ql)?(?:\+\w+)?://[^\s:/?#@]*):\S*@", re.IGNORECASE)

#: The userinfo of any other URL ends at the last @ before the path.
_URL = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/?#@]*):[^\s/?#]*@", re.IGNORECASE)

#: password=… as in libpq's connection string, a query parameter or an environment variable, quoted or not.
_ASSIGNED = re.compile(
    r"""((?:\w*pass(?:word|wd)|pgpassword)\s*=\s*)(?:'(?:\\.|[^'\\])*'?|"(?:\\.|[^"\\])*"?|[^\s&;,#'"]+)""",
    re.IGNORECASE,
)


def redact_text(text: str) -> str:
    """The text without passwords."""
    text = _POSTGRES_URL.sub(rf"\1:{HIDDEN}@", text)
    text = _URL.sub(rf"\1:{HIDDEN}@", text)
    return _ASSIGNED.sub(rf"\1{HIDDEN}", text)


def redact(value: Any) -> Any:
    """The same structure with every string redacted, and what stands under a key like ``password`` hidden."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict):
        return {
            redact_text(key) if isinstance(key, str) else key: (
                HIDDEN if isinstance(key, str) and _SECRET_KEY.search(key) and item else redact(item)
            )
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [redact(item) for item in value]
    return value
