# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of documents, chunks, messages, attachments, tags and events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from .scale import Counts
from .values import (
    Embeddings,
    Prose,
    chance,
    cuid,
    day,
    iso,
    millis,
    moment,
    pick,
    second,
    spaced,
    stream,
)
from .words import FOREIGN, HARD_TEXTS, VOCABULARY

Row = tuple[Any, ...]

REALS = (0.1 + 0.2, 1 / 3, 1e-7, 4.9, 2.0, 5e-324, 1.7976931348623157e308, 123456789.123456789)
LONGEST_TITLE = 200


def documents(counts: Counts, prose: Prose) -> Iterator[Row]:
    random = stream("documents")
    for number in range(1, counts.documents + 1):
        created = second(random)
        micros = int(random.random() * 1_000_000)
        status = pick(random, ("draft", "review", "published", "published"))
        parent = spaced(1 + int(random.random() * (number - 1))) if number > 1 and chance(random, 0.3) else None
        # About half of the long texts are short: a table of one row size would be too easy.
        length = 1000 + int(random.random() ** 2 * 33_000)
        yield (
            spaced(number),
            1 + int(random.random() * counts.workspaces),
            cuid("user", 1 + int(random.random() * counts.users)),
            parent,
            f"{number}: {prose.sentence(random)}"[:LONGEST_TITLE],
            f"{pick(random, VOCABULARY)}-{pick(random, VOCABULARY)}-{number}",
            status,
            1 if chance(random, 0.25) else 0,
            round(random.random() * 5, 2) if chance(random, 0.7) else None,
            int(random.random() ** 6 * 5_000_000_000),
            day(created) if status == "published" else None,
            iso(created, micros),
            iso(created + int(random.random() * 10**7), micros),
            moment(random) if number % 23 == 0 else None,
            prose.text(random, 200) if chance(random, 0.8) else None,
            prose.text(random, length),
        )


def document_chunks(counts: Counts, prose: Prose, embeddings: Embeddings) -> Iterator[Row]:
    random = stream("document_chunks")
    number = 0
    for document in range(1, counts.documents + 1):
        for position in range(int(random.random() * 16)):
            number += 1
            content = prose.text(random, 4500 + int(random.random() * 9500))
            yield (
                number,
                spaced(document),
                position,
                len(content) // 4,
                pick(random, ("demo-embed-1", "demo-embed-2")),
                REALS[number % len(REALS)] if number % 41 == 0 else 8 + random.random() * 16,
                embeddings.vector(random) if number % 37 else None,
                content,
            )


def messages(counts: Counts, prose: Prose) -> Iterator[Row]:
    random = stream("messages")
    for number in range(1, counts.messages + 1):
        if number % 12 == 0:
            body = HARD_TEXTS[number // 12 % len(HARD_TEXTS)]
        elif number % 7 == 0:
            body = FOREIGN[number // 7 % len(FOREIGN)]
        else:
            body = prose.text(random, int(random.random() ** 3 * 900))
        reply = spaced(1 + int(random.random() * (number - 1))) if number > 1 and chance(random, 0.2) else None
        reactions = {pick(random, ("👍", "❤️", "🎉")): int(random.random() * 9), "seen": chance(random, 0.5)}
        created = millis(random)
        yield (
            spaced(number),
            1 + int(random.random() * counts.workspaces),
            cuid("user", 1 + int(random.random() * counts.users)) if chance(random, 0.95) else None,
            reply,
            f"seed-{number}" if number % 3 == 0 else None,
            body,
            1 if chance(random, 0.02) else 0,
            json.dumps(reactions, ensure_ascii=number % 2 == 0) if chance(random, 0.3) else None,
            created,
            created + 60_000 if chance(random, 0.1) else None,
        )


def attachments(counts: Counts, prose: Prose) -> Iterator[Row]:
    random = stream("attachments")
    for number in range(1, counts.attachments + 1):
        if number == 1:
            name, mime, data = "empty.bin", "application/octet-stream", b""
        elif number % 3 == 0:
            name, mime = f"notes {number}.txt", "text/plain; charset=utf-8"
            data = prose.text(random, 60_000).encode()
        else:
            name, mime = f"Foto №{number} – été.jpg", "image/jpeg"
            data = random.randbytes(4000 + int(random.random() ** 3 * 110_000))
        yield (
            cuid("attachment", number),
            spaced(1 + int(random.random() * counts.messages)),
            name,
            mime,
            len(data),
            sha256(data).digest(),
            millis(random),
            data,
        )


def tags(counts: Counts, prose: Prose) -> Iterator[Row]:
    random = stream("tags")
    for number in range(1, counts.tags + 1):
        word = VOCABULARY[-number % len(VOCABULARY)]
        yield (
            number * 10,
            f"{word.capitalize() if number % 2 else word}-{number}" if number % 9 else f"étiquette {number} ✓",
            f"#{int(random.random() * 0xFFFFFF):06x}",
            prose.sentence(random) if chance(random, 0.5) else None,
        )


def document_to_tag(counts: Counts) -> Iterator[Row]:
    random = stream("document_to_tag")
    numbers = range(1, counts.tags + 1)
    for document in range(1, counts.documents + 1):
        for tag in random.sample(numbers, int(random.random() * 5.5)):
            yield spaced(document), tag * 10


def events(counts: Counts, prose: Prose) -> Iterator[Row]:
    random = stream("events")
    # JSON is more than objects. A bare number in a column declared JSON becomes INTEGER or REAL in SQLite.
    bare = (
        "42",
        "-7",
        "3.25",
        '"text"',
        '"\\u00e9\\ud83d\\ude00"',
        "true",
        "null",
        "[]",
        "[1, [2, [3, null]]]",
        "{}",
    )
    for number in range(1, counts.events + 1):
        payload = {
            "path": f"/{pick(random, VOCABULARY)}/{number}",
            "took": round(random.random() * 900, 3),
            "ok": chance(random, 0.97),
            "note": prose.sentence(random),
            "ids": [int(random.random() * 10**12), -1, 0],
            "big": 2**63 if number % 100 == 0 else number,
        }
        yield (
            spaced(number),
            pick(random, ("request", "request", "login", "logout", "export", "mail.sent")),
            cuid("user", 1 + int(random.random() * counts.users)) if chance(random, 0.7) else None,
            1 + int(random.random() * counts.workspaces) if chance(random, 0.6) else None,
            bare[number // 10 % len(bare)] if number % 10 == 0 else json.dumps(payload) if number % 17 else None,
            REALS[number % len(REALS)] if number % 29 == 0 else random.random() * 1000,
            iso(second(random)),
        )
