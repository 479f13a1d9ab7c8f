# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of documents that can be told apart: each writes the run's name and a version that only grows.

At most one change of a document is under way, so the versions of one document have an order, and a read that begins
after an acknowledgement must show the acknowledged version or a later one.
"""

from __future__ import annotations

import re
import uuid
from random import Random
from typing import Any

# A version that any run wrote.
ANY_RUN = re.compile(rb'"summary":\s*"load ([0-9a-f]{12}) \d+"')


class Changes:
    """The documents of one run."""

    def __init__(self, documents: list[int], random: Random) -> None:
        # Writes are unique across runs, whatever the seed.
        self.name = uuid.uuid4().hex[:12]
        #: Document → the version that was acknowledged last.
        self.acknowledged: dict[int, int] = {}
        self._pattern = pattern_of(self.name)
        self._random = random
        self._documents = documents
        self._free = list(documents)
        self._begun: dict[int, int] = {}
        # Acknowledged, and not yet asked for: the next reads are theirs.
        self._fresh: list[int] = []

    def begin(self) -> tuple[int, dict[str, Any]] | None:
        """A document and what to change in it; None while all of them are being changed."""
        if not self._free:
            return None
        place = self._random.randrange(len(self._free))
        document, self._free[place] = self._free[place], self._free[-1]
        self._free.pop()
        version = self._begun[document] = self._begun.get(document, 0) + 1
        return document, {
            "rating": round(self._random.random() * 5, 2),
            "is_public": self._random.random() < 0.5,
            "summary": f"load {self.name} {version}",
        }

    def end(self, document: int, status: int, body: bytes) -> bool:
        """Note what came of the change; whether the answer shows an older state than the one it acknowledges."""
        if status in (400, 404, 409, 503):
            # Refused, and so not done; without an answer it may still be carried out, and the document is left alone.
            self._free.append(document)
        if not 200 <= status < 300:
            return False
        self._free.append(document)
        self.acknowledged[document] = self._begun[document]
        self._fresh.append(document)
        return self.version(body) < self._begun[document]

    def to_read(self) -> tuple[int, int]:
        """A document to ask for, one just changed if there is any, and the version that the answer must have."""
        document = self._fresh.pop() if self._fresh else self._random.choice(self._documents)
        return document, self.acknowledged.get(document, 0)

    def version(self, body: bytes) -> int:
        """The version in an answer; 0 for a document that this run has not changed."""
        return version_in(self._pattern, body)


def pattern_of(name: str) -> re.Pattern[bytes]:
    """What finds the version that a run wrote."""
    return re.compile(rb'"summary":\s*"load ' + name.encode() + rb' (\d+)"')


def version_in(pattern: re.Pattern[bytes], body: bytes) -> int:
    """The version in an answer; 0 without one."""
    found = pattern.search(body)
    return int(found.group(1)) if found else 0
