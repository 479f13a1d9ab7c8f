# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of users, sessions, workspaces, memberships and orders."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .scale import Counts
from .values import (
    NEVER_MILLIS,
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
from .words import HARD_TEXTS, NAMES, SURNAMES

Row = tuple[Any, ...]

DAY_SECONDS = 86_400


def users(counts: Counts, prose: Prose) -> Iterator[Row]:
    random = stream("users")
    for number in range(1, counts.users + 1):
        created = millis(random)
        name = f"{pick(random, NAMES)} {pick(random, SURNAMES)}"
        # Birthdays reach back before 1970.
        born = -1_200_000_000 + int(random.random() * 2_400_000_000)
        cents = int(random.random() ** 4 * 10_000_000) - 50_000
        settings = {
            "theme": pick(random, ("dark", "light", "système")),
            "notify": {"mail": chance(random, 0.5), "push": None, "every": int(random.random() * 60)},
            "zoom": round(0.5 + random.random(), 3),
            "signature": prose.sentence(random),
        }
        yield (
            cuid("user", number),
            f"{pick(random, ('Ada', 'jo', 'Lee', 'max', 'Sam'))}.{number}@example.com",
            name,
            prose.text(random, 300) if chance(random, 0.6) else None,
            1 if number % 97 == 1 else 0,
            9_999_999_999.99 if number == 2 else cents / 100,
            day(born) if chance(random, 0.8) else None,
            random.randbytes(1500 + int(random.random() * 5000)) if chance(random, 0.35) else None,
            json.dumps(settings, ensure_ascii=number % 2 == 0) if chance(random, 0.9) else None,
            created,
            created + int(random.random() * 10**9),
            millis(random) if chance(random, 0.85) else None,
        )


def sessions(counts: Counts) -> Iterator[Row]:
    random = stream("sessions")
    for number in range(1, counts.sessions + 1):
        created = millis(random)
        address = ".".join(str(int(random.random() * 256)) for _ in range(4))
        yield (
            cuid("session", number),
            cuid("user", 1 + int(random.random() * counts.users)),
            random.randbytes(24).hex(),
            "2001:db8:0:0:0:ffff:192.0.2.1" if number % 11 == 0 else address,
            f"Mozilla/5.0 (X11; Linux x86_64) Demo/{number % 40}.0" if chance(random, 0.9) else None,
            random.randbytes(16) if chance(random, 0.7) else None,
            1 if chance(random, 0.3) else 0,
            created,
            NEVER_MILLIS if number % 53 == 0 else created + 30 * DAY_SECONDS * 1000,
        )


def workspaces(counts: Counts, prose: Prose) -> Iterator[Row]:
    random = stream("workspaces")
    quotas = (None, 0, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 5 * 10**9)
    for number in range(1, counts.workspaces + 1):
        parent = 1 + int(random.random() * (number - 1)) if number > 3 and chance(random, 0.4) else None
        settings = {"limits": [1, 2.5, -3e-7, 10**15], "label": prose.sentence(random), "empty": {}}
        yield (
            number,
            parent,
            f"space-{number}",
            f"{pick(random, SURNAMES)} & {pick(random, SURNAMES)} {number}",
            pick(random, ("free", "free", "team", "business")),
            quotas[number % len(quotas)],
            1 if chance(random, 0.1) else 0,
            "{}" if number % 5 == 0 else json.dumps(settings),
            moment(random),
        )


def memberships(counts: Counts) -> Iterator[Row]:
    random = stream("memberships")
    spaces = range(1, counts.workspaces + 1)
    for number in range(1, counts.users + 1):
        for workspace in random.sample(spaces, 1 + int(random.random() * 4.4)):
            yield (
                workspace,
                cuid("user", number),
                pick(random, ("owner", "admin", "member", "member", "guest")),
                cuid("user", 1 + int(random.random() * counts.users)) if chance(random, 0.5) else None,
                moment(random),
            )


def orders(counts: Counts, prose: Prose) -> Iterator[Row]:
    random = stream("orders")
    for number in range(1, counts.orders + 1):
        placed = second(random)
        quantity = 1 + int(random.random() ** 3 * 40)
        # Every fourth price is a whole amount: SQLite stores those as INTEGER, the others as REAL.
        cents = 100 + int(random.random() ** 5 * 9_000_000)
        price = cents // 1000 * 1000 + 1000 if number % 4 == 0 else cents
        discount = price // 10 if chance(random, 0.3) else None
        total = quantity * price - (discount or 0)
        yield (
            spaced(number),
            f"R-{2019 + number % 7}-{number:07d}",
            cuid("user", 1 + int(random.random() * counts.users)),
            1 + int(random.random() * counts.workspaces) if chance(random, 0.9) else None,
            quantity,
            price / 100,
            None if discount is None else discount / 100,
            total / 100,
            pick(random, (0.19, 0.07, 0.2, 0.055, 0.1 + 0.2, 0.0)),
            pick(random, ("EUR", "EUR", "USD", "JPY")),
            pick(random, (1, 1, 1, 0, None)),
            day(placed),
            iso(placed, int(random.random() * 1_000_000)),
            moment(random) if chance(random, 0.7) else None,
            HARD_TEXTS[number % len(HARD_TEXTS)] if number % 6 == 0 else prose.sentence(random),
        )
