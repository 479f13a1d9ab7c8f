# SPDX-License-Identifier: GPL-3.0-or-later
"""preflight.yml on what cannot work: one run names everything that stands in the way, and neither side is touched."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support.independent import execute, fetch
from support.playbooks import Playbooks
from support.postgres import Cluster, Database

#: What is wrong in one file: table, column and how the message begins.
WRONG = {
    ("shop", "name"): "has 26 characters, more than varchar(10) holds",
    ("shop", "active"): "holds text that is neither 0 nor 1",
    ("shop", "note"): "text holds a NUL character",
    ("shop", "seen"): "some integers look like seconds",
    ("sale", "shop"): "2 rows refer to rows of shop that do not exist",
    ("sale", "key"): "1 rows hold NULL in the primary key",
    (None, None): "is not empty: public.theirs",
}
BAD = f"""
CREATE TABLE shop (id INTEGER PRIMARY KEY, name VARCHAR(10), active BOOLEAN, note TEXT, xmin INT, seen DATETIME);
INSERT INTO shop VALUES (1, 'ok', 1, 'ok', 5, 1700000000), (2, 'abcdefghijklmnopqrstuvwxyz', 'maybe', 'a' || char(0), 5, 1700000000000);
CREATE TABLE sale (key TEXT PRIMARY KEY, shop INT REFERENCES shop);
INSERT INTO sale VALUES ('a', 1), ('b', 77), (NULL, 78);
CREATE TABLE {"l" * 70} (v);
"""


class Preflight:
    """Runs of preflight.yml against one database, and what must not change by them."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.source, self.database = folder / "app.sqlite", database
        self._reports = folder / "reports"
        self._folder = folder

    def run(self, url: str | None = None) -> tuple[list[dict[str, Any]], set[tuple[str | None, str | None]]]:
        """One run that must refuse; its findings of severity error, and the places of the warnings."""
        options = ("-c", "local", "-e", f"cutover_source_path={self.source}", "-e", "cutover_provider=external")
        options += ("-e", f"cutover_state_dir={self._folder / 'state'}", "-e", f"cutover_report_dir={self._reports}")
        url = url or self.database.url
        run = Playbooks("localhost,", self._folder / "state", self._folder, options, {"CUTOVER_TARGET_URL": url})
        before = self._both()
        said = run.run("playbooks/preflight.yml", fails=True)
        assert self._both() == before, "preflight changed something"
        assert "Traceback" not in said
        assert url.rsplit("@")[0].rsplit(":")[-1] not in said, "the password is in the output"
        written = min(self._reports.glob("app/*/preflight.json"))
        report = json.loads(written.read_text())
        assert not report["ok"]
        found = [finding for finding in report["findings"] if finding["severity"] == "error"]
        for finding in found:
            # What is printed is wrapped; its first words stand on one line.
            assert " ".join(finding["message"].split()[:3]) in " ".join(said.split())
        return found, {(f["table"], f["column"]) for f in report["findings"] if f["severity"] == "warning"}

    def _both(self) -> Any:
        digest = hashlib.sha256(self.source.read_bytes()).hexdigest() if self.source.exists() else None
        catalog = "SELECT relname, relkind::text, relfilenode FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
        schemas = fetch(self.database.url, "SELECT nspname FROM pg_namespace ORDER BY 1")
        return (
            digest,
            sorted(p.name for p in self.source.parent.glob("app.sqlite*")),
            fetch(self.database.url, catalog),
            schemas,
        )


@pytest.fixture
def preflight(postgres: Cluster, tmp_path: Path) -> Iterator[Preflight]:
    """A fresh, empty database and no source yet."""
    made = postgres.create_database()
    yield Preflight(tmp_path, made)
    postgres.drop_database(made)


def test_everything_that_is_wrong_is_named_in_one_run(preflight: Preflight, postgres: Cluster) -> None:
    with closing(sqlite3.connect(preflight.source)) as connection:
        connection.executescript(BAD)
    execute(preflight.database.url, "CREATE TABLE theirs (id int)", "INSERT INTO theirs VALUES (1)")
    found, warned = preflight.run()
    places = {(f["table"], f["column"]): f["message"] for f in found}
    assert sorted(places, key=str) == sorted(WRONG, key=str), found
    for place, start in WRONG.items():
        assert start.lower() in places[place].lower(), (place, places[place])
    assert warned >= {("shop", "xmin"), ("l" * 70, None)}, "names that PostgreSQL cannot hold"
    # Whatever the plan can settle brings the lines for it.
    assert all(f["decide"] for f in found if f["table"])
    assert fetch(preflight.database.url, "SELECT id FROM theirs") == [(1,)]


def test_wrong_password_is_named_together_with_wrong_values(preflight: Preflight) -> None:
    with closing(sqlite3.connect(preflight.source)) as connection:
        connection.executescript("CREATE TABLE t (id INTEGER PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 'many')")
    url = preflight.database.url
    right = url.split(":")[2].split("@")[0]
    found, _ = preflight.run(url.replace(right, "wrong0password"))
    assert [(f["table"], f["column"]) for f in found] == [(None, None), ("t", "v")]
    assert "PostgreSQL refuses the user or the password" in found[0]["message"]


def _missing(path: Path) -> str:
    return "there is no such file"


def _corrupt(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
        connection.executemany("INSERT INTO t (v) VALUES (?)", [("x" * 500,) for _ in range(500)])
        connection.commit()
    content = bytearray(path.read_bytes())
    # Every page but the first, whose header still promises a sound database.
    content[4096 : 20 * 4096] = b"\xa5" * (19 * 4096)
    path.write_bytes(content)
    return "is corrupt"


@pytest.mark.parametrize("make", [_missing, _corrupt])
def test_file_that_cannot_be_read_is_the_finding(preflight: Preflight, make: Any) -> None:
    expected = make(preflight.source)
    [finding], _ = preflight.run()
    assert finding["message"].startswith(f"{preflight.source}: ")
    assert expected in finding["message"]
