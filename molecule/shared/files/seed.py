#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fill the application's database: seed.py FILE. Some thousand rows, with values that a careless copy would change."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing

CUSTOMERS = 500
ORDERS = 5000
NAMES = (
    "Ärzte & Söhne",
    "O'Brien",
    "naïve café",
    "日本商事",
    'quote " and \\ backslash',
    "tab\tand\nline",
    "🦜 parrots",
)

SCHEMA = """
CREATE TABLE customers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    email VARCHAR(200) UNIQUE,
    is_active BOOLEAN NOT NULL DEFAULT 1,
    credit DECIMAL(12,2) NOT NULL DEFAULT 0,
    score REAL,
    logo BLOB,
    created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    write_id TEXT UNIQUE,
    customer_id INTEGER NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    item TEXT NOT NULL,
    note TEXT,
    ordered_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX orders_by_customer ON orders (customer_id, ordered_at);
"""


def main(path: str) -> None:
    """Write the file."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(SCHEMA)
        connection.executemany(
            "INSERT INTO customers (name, email, is_active, credit, score, logo) VALUES (?, ?, ?, ?, ?, ?)",
            (
                (
                    f"{NAMES[number % len(NAMES)]} {number}",
                    f"c{number}@example.org" if number % 10 else None,
                    number % 3 != 0,
                    number * 1.25,
                    number / 7 if number % 5 else None,
                    bytes(range(number % 256)) if number % 4 == 0 else None,
                )
                for number in range(CUSTOMERS)
            ),
        )
        connection.executemany(
            "INSERT INTO orders (customer_id, item, note) VALUES (?, ?, ?)",
            (
                (1 + number % CUSTOMERS, f"item {number}", NAMES[number % len(NAMES)] if number % 2 else None)
                for number in range(ORDERS)
            ),
        )


if __name__ == "__main__":
    main(sys.argv[1])
