# SPDX-License-Identifier: GPL-3.0-or-later
"""SCRAM verifiers for PostgreSQL roles.

The server would derive the verifier itself from `PASSWORD 'secret'`, but then the secret
travels in a statement that the server may log. So the controller derives it (RFC 5802, RFC 7677).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

ITERATIONS = 4096
VERIFIER = re.compile(r"^SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)$")


def prepared(password: str) -> bytes:
    """SASLprep (RFC 4013) as PostgreSQL does it: a password it cannot prepare is used as it is."""
    # The engine is a folder beside this one on the controller; Ansible does not put it on the path of plugins.
    engine = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "module_utils")
    if engine not in sys.path:
        sys.path.append(engine)
    from cutover.passwords import saslprep

    try:
        text: str = saslprep(password)
    except ValueError:
        text = password
    return text.encode()


def derive(password: str, salt: bytes, iterations: int) -> str:
    """The verifier for a password, a salt and an iteration count."""
    salted = hashlib.pbkdf2_hmac("sha256", prepared(password), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    texts = [b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${iterations}:{texts[0]}${texts[1]}:{texts[2]}"


def scram_verifier(password: str, current: str | None = None) -> str:
    """The verifier to store: `current` when it already fits the password, else one with a new salt.

    Returning the current one is what makes a second run change nothing.
    """
    found = VERIFIER.match(current or "")
    if found:
        again = derive(password, b64decode(found.group(2)), int(found.group(1)))
        if hmac.compare_digest(again, found.group(0)):
            return again
    return derive(password, secrets.token_bytes(16), ITERATIONS)


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Ansible asks for this."""
        return {"scram_verifier": scram_verifier}
