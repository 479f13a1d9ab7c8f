# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's reference database is the same every time, and holds what it promises to hold."""

from __future__ import annotations

import hashlib
import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "demo"))

import seed
from seeding.scale import counts_for
from seeding.values import cuid, spaced

# Of all rows at scale 0.01. It changes only when the content is meant to change; figures that were measured
# on the old content then need measuring again.
DIGEST = "38e468dfdd40a2d73f2b4ba49ea6fb127b0e95022f5a3335b21a6421ea070bfa"


def digest(path: Path) -> str:
    found = hashlib.sha256()
    with closing(sqlite3.connect(path)) as connection:
        names = [
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_stat%' ORDER BY name"
            )
        ]
        for name in names:
            found.update(name.encode())
            for row in connection.execute(f'SELECT * FROM "{name}" ORDER BY rowid'):
                found.update(repr(row).encode())
    return found.hexdigest()


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("seed") / "app.sqlite"
    seed.seed(path, 0.01)
    return path


@pytest.fixture
def rows(seeded: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(seeded)) as connection:
        yield connection


def test_the_same_scale_gives_the_same_rows_everywhere(seeded: Path, tmp_path: Path) -> None:
    seed.seed(tmp_path / "again.sqlite", 0.01)
    assert digest(seeded) == digest(tmp_path / "again.sqlite") == DIGEST


def test_another_scale_gives_other_numbers_of_rows() -> None:
    assert counts_for(0.02).messages == 2 * counts_for(0.01).messages
    assert counts_for(10).users == 30_000


@pytest.mark.parametrize("scale", ["0", "11", "-1", "nan", "many"])
def test_a_scale_out_of_range_is_refused(scale: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert seed.main([str(tmp_path / "x.sqlite"), "--scale", scale]) == 1
    assert capsys.readouterr().err.startswith("seed: ")
    assert list(tmp_path.iterdir()) == []


def test_the_environment_names_the_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEMO_SCALE", "0.01")
    assert seed.main([str(tmp_path / "app.sqlite")]) == 0
    assert " rows in 12 tables, " in capsys.readouterr().out


def test_an_existing_file_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "app.sqlite"
    path.write_bytes(b"precious")
    assert seed.main([str(path), "--scale", "0.01"]) == 1
    assert "exists; it is not overwritten" in capsys.readouterr().err
    assert path.read_bytes() == b"precious"


def test_a_seeding_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Iterator[tuple[object, ...]]:
        yield ("only", "three", "columns")

    monkeypatch.setattr(seed.content, "events", broken)
    with pytest.raises(sqlite3.Error):
        seed.seed(tmp_path / "app.sqlite", 0.01)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_seeding_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "app.sqlite.seeding").write_bytes(b"half a file")
    seed.seed(tmp_path / "app.sqlite", 0.01)
    assert [path.name for path in tmp_path.iterdir()] == ["app.sqlite"]


def test_the_file_is_private_whole_and_in_wal_mode(seeded: Path, rows: sqlite3.Connection) -> None:
    assert stat.S_IMODE(seeded.stat().st_mode) == 0o600
    assert rows.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert rows.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert rows.execute("PRAGMA foreign_key_check").fetchall() == []


def test_twelve_tables_a_view_and_a_trigger(rows: sqlite3.Connection) -> None:
    kinds = dict(rows.execute("SELECT type, count(*) FROM sqlite_schema WHERE name NOT LIKE 'sqlite%' GROUP BY type"))
    assert (kinds["table"], kinds["view"], kinds["trigger"]) == (12, 1, 1)


# What each column that needs a decision holds, by SQLite's storage classes.
CLASSES = {
    ("users", "createdAt"): {"integer"},
    ("users", "lastSeenAt"): {"integer", "null"},
    ("users", "isAdmin"): {"integer"},
    ("users", "balance"): {"integer", "real"},
    ("users", "birthday"): {"text", "null"},
    ("users", "avatar"): {"blob", "null"},
    ("users", "settings"): {"text", "null"},
    ("workspaces", "created_at"): {"text"},
    ("workspaces", "parent_id"): {"integer", "null"},
    ("workspaces", "quota_bytes"): {"integer", "null"},
    ("documents", "rating"): {"real", "null"},
    ("documents", "deleted_at"): {"text", "null"},
    ("document_chunks", "embedding"): {"blob", "null"},
    ("orders", "unit_price"): {"integer", "real"},
    ("orders", "discount"): {"integer", "real", "null"},
    ("orders", "paid"): {"integer", "null"},
    ("events", "payload"): {"text", "integer", "real", "null"},
    ("events", "duration_ms"): {"real"},
    ("events", "recorded_at"): {"text"},
}


@pytest.mark.parametrize(("table", "column"), CLASSES)
def test_columns_hold_the_classes_that_applications_store(rows: sqlite3.Connection, table: str, column: str) -> None:
    found = {kind for (kind,) in rows.execute(f'SELECT DISTINCT typeof("{column}") FROM "{table}"')}
    assert found == CLASSES[table, column]


def test_moments_have_the_forms_that_their_writers_give_them(rows: sqlite3.Connection) -> None:
    def lengths(table: str, column: str) -> set[int]:
        return {n for (n,) in rows.execute(f"SELECT DISTINCT length({column}) FROM {table}")}

    assert lengths("documents", "updated_at") == {len("2024-01-01 00:00:00.000000")}
    assert lengths("events", "recorded_at") == {len("2024-01-01 00:00:00")}
    assert lengths("orders", "ordered_on") == {len("2024-01-01")}
    assert lengths("sessions", "expiresAt") == {13}


def test_nothing_in_it_is_refused_by_postgresql(rows: sqlite3.Connection) -> None:
    for table, column, longest in (
        ("documents", "title", 200),
        ("orders", "number", 20),
        ("users", "email", 255),
    ):
        assert rows.execute(f"SELECT max(length({column})) FROM {table}").fetchone()[0] <= longest
    for table in ("messages", "documents", "users"):
        columns = [row[1] for row in rows.execute(f"PRAGMA table_info({table})")]
        for column in columns:
            query = f"""SELECT count(*) FROM {table}
                        WHERE typeof("{column}") = 'text' AND instr("{column}", char(0))"""
            assert rows.execute(query).fetchone() == (0,)


def test_amounts_are_whole_cents(rows: sqlite3.Connection) -> None:
    for (total,) in rows.execute("SELECT total FROM orders UNION ALL SELECT balance FROM users"):
        assert float(f"{total:.2f}") == total


@pytest.mark.parametrize("table", ["messages", "orders", "events"])
def test_ids_go_on_above_rows_that_were_deleted(rows: sqlite3.Connection, table: str) -> None:
    last = rows.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()[0]
    assert last > rows.execute(f"SELECT max(id) FROM {table}").fetchone()[0]


def test_the_trigger_and_the_view_work(seeded: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes(seeded.read_bytes())
    with closing(sqlite3.connect(copy)) as connection:
        before = connection.execute("SELECT count(*) FROM events").fetchone()[0]
        connection.execute("UPDATE documents SET status = 'review' WHERE id = 1 AND status <> 'review'")
        connection.execute("UPDATE documents SET status = 'draft' WHERE id = 1")
        after = connection.execute("SELECT count(*) FROM events").fetchone()[0]
        assert after > before
        assert connection.execute("SELECT count(*) FROM workspace_activity").fetchone()[0] == 8


def test_ids_are_unique_and_have_gaps() -> None:
    ids = [cuid("user", number) for number in range(1000)]
    assert len(set(ids)) == 1000
    assert {len(text) for text in ids} == {25}
    numbers = [spaced(number) for number in range(1, 200)]
    assert numbers == sorted(set(numbers))
    assert 50 not in numbers
