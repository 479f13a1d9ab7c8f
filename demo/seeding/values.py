# SPDX-License-Identifier: GPL-3.0-or-later
"""Single values in the form in which the application stores them."""

from __future__ import annotations

import struct
from array import array
from datetime import datetime, timedelta, timezone
from hashlib import blake2b
from random import Random
from typing import Any

from .words import FOREIGN, VOCABULARY

SEED = "pg-cutover demo 1"

# All moments lie in these years; nothing depends on the clock of the machine.
FIRST_SECOND = int(datetime(2019, 1, 1, tzinfo=timezone.utc).timestamp())
LAST_SECOND = int(datetime(2025, 12, 31, tzinfo=timezone.utc).timestamp())
NEVER_MILLIS = 4_102_444_800_000  # 2100-01-01, what applications write for "does not expire"

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
EMBEDDING_BYTES = 768 * 4


def stream(name: str) -> Random:
    """A generator of its own for each table: adding rows to one changes no other."""
    return Random(f"{SEED}/{name}")


def cuid(kind: str, number: int) -> str:
    """A text id like a cuid, computed from its number so that references need no table of ids."""
    rest = int.from_bytes(blake2b(f"{SEED}/{kind}/{number}".encode(), digest_size=16).digest(), "big")
    characters = []
    for _ in range(24):
        rest, digit = divmod(rest, 36)
        characters.append(_BASE36[digit])
    return "c" + "".join(characters)


def spaced(number: int) -> int:
    """The id of the nth row where some rows were deleted later: every fiftieth id is missing."""
    return number + (number - 1) // 49


def second(random: Random) -> int:
    """A moment as seconds since 1970."""
    return FIRST_SECOND + int(random.random() * (LAST_SECOND - FIRST_SECOND))


def millis(random: Random) -> int:
    """A moment as Prisma stores it."""
    return second(random) * 1000 + int(random.random() * 1000)


def iso(seconds: int, micros: int | None = None) -> str:
    """A moment as SQLAlchemy stores it; without microseconds as CURRENT_TIMESTAMP does."""
    text = f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}"
    return text if micros is None else f"{text}.{micros:06d}"


def moment(random: Random) -> str:
    """A moment as SQLAlchemy stores it, with microseconds."""
    return iso(second(random), int(random.random() * 1_000_000))


def day(seconds: int) -> str:
    """A date."""
    return iso(seconds)[:10]


def chance(random: Random, share: float) -> bool:
    """True for this share of the calls."""
    return random.random() < share


def pick(random: Random, items: Any) -> Any:
    """One of `items`, evenly; faster than random.choice."""
    return items[int(random.random() * len(items))]


class Prose:
    """Running text: no two texts alike, and compressible as text is, not as a repeated block would be."""

    def __init__(self, sentences: int = 12_000) -> None:
        random = stream("prose")
        # Low ranks of the vocabulary come up far more often than high ones, as in any language.
        words = VOCABULARY
        self._sentences = []
        for _ in range(sentences):
            count = 5 + int(random.random() * 14)
            chosen = [words[int(len(words) * random.random() ** 2.2)] for _ in range(count)]
            if chance(random, 0.15):
                chosen[-1] = str(int(random.random() * 100_000))
            text = " ".join(chosen) + pick(random, (".", ".", ".", "?", "!", ";"))
            self._sentences.append(text[0].upper() + text[1:])
        for place, text in enumerate(FOREIGN * (sentences // 600)):
            self._sentences[place * 31 % sentences] = text

    def sentence(self, random: Random) -> str:
        """One sentence."""
        text: str = pick(random, self._sentences)
        return text

    def text(self, random: Random, length: int) -> str:
        """Paragraphs of about `length` characters."""
        sentences = self._sentences
        size = len(sentences)
        parts: list[str] = []
        total = 0
        while total < length:
            part = sentences[int(random.random() * size)]
            total += len(part) + 1
            parts.append(part)
        # A paragraph ends after every seventh sentence.
        return " ".join(part + "\n\n" if place % 7 == 6 else part for place, part in enumerate(parts))


class Embeddings:
    """Vectors of 768 little-endian float32: windows into one long random vector, which cost nothing."""

    def __init__(self, floats: int = 400_000) -> None:
        random = stream("embeddings")
        values = array("f", (random.random() * 2 - 1 for _ in range(floats)))
        self._pool = struct.pack(f"<{floats}f", *values)
        self._windows = floats - EMBEDDING_BYTES // 4

    def vector(self, random: Random) -> bytes:
        """One vector."""
        start = int(random.random() * self._windows) * 4
        return self._pool[start : start + EMBEDDING_BYTES]
