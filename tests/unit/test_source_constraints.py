# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of keys are read from the text of CREATE TABLE, however it is written."""

from __future__ import annotations

import pytest

from cutover.source.constraints import KeyNames, key_names


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("CREATE TABLE t (a INT, b INT)", KeyNames()),
        ("CREATE TABLE t AS SELECT 1", KeyNames()),
        ("CREATE TABLE t (a INT PRIMARY KEY, b INT UNIQUE REFERENCES u)", KeyNames(None, {}, [None])),
        (
            "CREATE TABLE t (a INT, CONSTRAINT pk PRIMARY KEY (a), CONSTRAINT \"u 1\" UNIQUE (B, [c d]), "
            "CONSTRAINT fk FOREIGN KEY (a, b) REFERENCES u (a, b) ON DELETE SET NULL, FOREIGN KEY (c) REFERENCES v)",
            KeyNames("pk", {("b", "c d"): "u 1"}, ["fk", None]),
        ),
        (
            "CREATE TABLE t (a INT CONSTRAINT pk PRIMARY KEY CONSTRAINT nn NOT NULL, "
            "b INT NOT NULL CONSTRAINT u UNIQUE CONSTRAINT f REFERENCES x (y) DEFERRABLE INITIALLY DEFERRED, "
            "c DECIMAL(10, 2) CONSTRAINT k CHECK (c > 0) UNIQUE)",
            KeyNames("pk", {("b",): "u"}, ["f"]),
        ),
        # SQLite lets the commas between constraints of the table out.
        (
            "CREATE TABLE t (a INT, b INT, CONSTRAINT p PRIMARY KEY (a) CONSTRAINT u UNIQUE (b) CONSTRAINT f FOREIGN KEY (b) "
            "REFERENCES t (a))",
            KeyNames("p", {("b",): "u"}, ["f"]),
        ),
        (
            'CREATE TABLE t ("unique" INT, `constraint` TEXT DEFAULT \'CONSTRAINT x UNIQUE\', -- CONSTRAINT y UNIQUE (a)\n'
            "CONSTRAINT [u] UNIQUE (\"unique\" COLLATE NOCASE, `constraint` DESC))",
            KeyNames(None, {("unique", "constraint"): "u"}, []),
        ),
    ],
)  # fmt: skip
def test_names(sql: str, names: KeyNames) -> None:
    assert key_names(sql) == names
