# SPDX-License-Identifier: GPL-3.0-or-later
"""A small SQLite file: a hundred customers and their orders."""

from __future__ import annotations

import sqlite3
import sys

connection = sqlite3.connect(sys.argv[1])
connection.executescript(
    """
    CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    CREATE TABLE orders (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      customer_id INTEGER NOT NULL REFERENCES customer (id),
      amount NUMERIC NOT NULL
    );
    """
)
connection.executemany("INSERT INTO customer VALUES (?, ?)", [(n, f"Customer {n} – ü") for n in range(1, 101)])
connection.executemany(
    "INSERT INTO orders (customer_id, amount) VALUES (?, ?)", [(n % 100 + 1, n * 0.25) for n in range(1000)]
)
connection.commit()
connection.close()
