# SPDX-License-Identifier: GPL-3.0-or-later
"""SCRAM verifiers for PostgreSQL roles.

The server would derive the verifier itself from `PASSWORD 'secret'`, but then the secret
travels in a statement that the server may log. So the controller derives it (RFC 5802, RFC 7677).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import stringprep
import unicodedata
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

ITERATIONS = 4096
VERIFIER = re.compile(r"^SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)$")
PROHIBITED = (
    stringprep.in_table_a1,
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def prepared(password: str) -> bytes:
    """SASLprep (RFC 4013) as PostgreSQL does it: a password it cannot prepare is used as it is."""
    raw = password.encode()
    if password.isascii():
        return raw
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char for char in password if not stringprep.in_table_b1(char)
    )
    normal = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    if not normal or any(test(char) for char in normal for test in PROHIBITED):
        return raw
    if any(map(stringprep.in_table_d1, normal)):
        mixed = any(map(stringprep.in_table_d2, normal))
        bounded = stringprep.in_table_d1(normal[0]) and stringprep.in_table_d1(normal[-1])
        if mixed or not bounded:
            return raw
    return normal.encode()


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
