# SPDX-License-Identifier: GPL-3.0-or-later
"""The capture as its callers use it: installed, kept, replaced, read, pruned, watched, removed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from conftest import MakeSqlite
from cutover.capture import changes, cost, wal
from cutover.capture import install as installing
from cutover.capture.guard import Guard
from cutover.capture.install import inspect, install, remove
from cutover.errors import Refused, SourceChanged, SourceError
from cutover.plan.model import Plan
from cutover.source.connect import open_readonly, open_writable
from cutover.source.fence import CLOSE_REPLAY, OPEN_REPLAY, lift_fence, raise_fence
from support.captured import Replica
from support.engine import described, planned
from support.processes import holding, written_elsewhere

SCHEMA = """
PRAGMA journal_mode = wal;
CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT COLLATE NOCASE UNIQUE, n INT);
CREATE TABLE tags (name TEXT PRIMARY KEY, n INT);
CREATE TABLE pairs (a INT, b TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE TABLE plain (x);
CREATE TRIGGER seen AFTER INSERT ON users BEGIN INSERT INTO plain VALUES (NEW.id); END;
INSERT INTO users VALUES (1, 'one', 1), (2, 'two', 2), (3, 'three', 3);
INSERT INTO tags VALUES ('abc', 1), ('ABC', 2), ('1', 3);
INSERT INTO pairs VALUES (1, 'x'), (1, 'y');
"""


@pytest.fixture
def source(make_sqlite: MakeSqlite) -> Path:
    return make_sqlite(SCHEMA)


@pytest.fixture
def plan(source: Path) -> Plan:
    return planned(source)[0]


def write(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def logged(path: Path, plan: Plan, after: int = 0) -> changes.Changes:
    with closing(open_readonly(str(path), bytearray)) as connection:
        return changes.read(connection, plan, after, 1000)


def objects(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY rowid").fetchall()


def test_installed_once_and_removed_without_a_trace(source: Path, plan: Plan) -> None:
    before, described_before = objects(source), described(source)
    assert install(str(source), plan, check_mode=True).queries != []
    assert objects(source) == before
    first = install(str(source), plan)
    assert (first.position, len(first.id) > 8) == (0, True)
    write(source, "INSERT INTO users VALUES (4, 'four', 4)")
    again = install(str(source), plan)
    assert (again.id, again.position, again.queries) == (first.id, 2, [])
    assert described(source).tables == described_before.tables
    assert described(source).others == described_before.others
    with closing(open_readonly(str(source))) as connection:
        standing = inspect(connection)
    assert standing is not None
    assert (standing.id, standing.fingerprint) == (first.id, plan.fingerprint())
    assert remove(str(source), check_mode=True) == remove(str(source))
    assert objects(source) == before
    assert remove(str(source)) == []
    assert install(str(source), plan).id != first.id


def test_keys_are_logged_by_table(source: Path, plan: Plan) -> None:
    install(str(source), plan)
    write(
        source,
        "INSERT INTO users VALUES (4, 'four', 4)",
        "REPLACE INTO users VALUES (5, 'TWO', 5)",
        "UPDATE OR REPLACE users SET email = 'One' WHERE id = 3",
        "UPDATE users SET rowid = 9 WHERE id = 4",
        "UPDATE tags SET name = 'aBC' WHERE name = 'abc'",
        "DELETE FROM pairs WHERE b = 'x'",
    )
    read = logged(source, plan)
    assert read.whole == {"plain"}
    assert {name: sorted(keys) for name, keys in read.keys.items()} == {
        "users": [(1,), (2,), (3,), (4,), (5,), (9,)],
        "tags": [(bytearray(b"aBC"),), (bytearray(b"abc"),)],
        "pairs": [(1, bytearray(b"x"))],
    }
    assert read.logged == read.through >= 10
    assert not logged(source, plan, read.through)


def test_row_that_an_update_replaces_is_logged_although_a_cascade_takes_the_updated_one(
    make_sqlite: MakeSqlite,
) -> None:
    source = make_sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, p INT REFERENCES t ON DELETE CASCADE);"
        "INSERT INTO t VALUES (1, NULL), (2, 1);"
    )
    plan = planned(source)[0]
    install(str(source), plan)
    write(source, "PRAGMA foreign_keys = ON", "UPDATE OR REPLACE t SET id = 1 WHERE id = 2")
    assert sorted(logged(source, plan).keys["t"]) == [(1,), (2,)]
    with closing(sqlite3.connect(source)) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_rows_match_to_the_letter_and_class(make_sqlite: MakeSqlite) -> None:
    source = make_sqlite(
        "CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, n INT); CREATE TABLE u (k PRIMARY KEY, n INT);"
        "INSERT INTO t VALUES ('abc', 1), (CAST(x'ff' AS TEXT), 2), (NULL, 3), ('nul' || char(0) || 'l', 4);"
        "INSERT INTO u VALUES (1, 1), ('1', 2), (x'31', 3), (2.5, 4), (9007199254740993, 5), (NULL, 6);"
    )
    plan = planned(source)[0]
    with closing(open_readonly(str(source), bytearray)) as connection:

        def found(name: str, *keys: object) -> list[object]:
            return sorted(row[1] for row in changes.rows(connection, plan.table(name), [(key,) for key in keys]))

        text = bytearray
        assert found("t", text(b"abc"), text(b"ABC"), text(b"\xff"), None) == [1, 2, 3]
        assert found("t", text(b"ABC"), b"abc", text(b"nul\0l")) == [4]
        assert found("u", 1) == [1]
        assert found("u", 1.0) == []
        assert found("u", text(b"1"), b"1", 2.5, 9007199254740993, None) == [2, 3, 4, 5, 6]
        assert found("u", *range(2, 3000), 1) == [1]


def test_pruning_keeps_the_newest_and_gives_way(source: Path, plan: Plan) -> None:
    install(str(source), plan)
    write(source, *(f"INSERT INTO tags VALUES ('t{n}', {n})" for n in range(50)))
    with closing(open_writable(str(source))) as connection:
        assert changes.prune(connection, 20, 5) == 5
        assert changes.prune(connection, 20, 1000) == 15
        with holding(source, "BEGIN IMMEDIATE"):
            assert changes.prune(connection, 1000, 1000) == 0
        assert connection.execute("PRAGMA busy_timeout").fetchone()[0] > 0
        assert changes.prune(connection, 1000, 1000) == 29
        assert (changes.position(connection), changes.count(connection, 0)) == (50, 1)
    write(source, "INSERT INTO tags VALUES ('next', 1)")
    assert logged(source, plan, 50).through == 51


def test_log_that_ends_before_what_was_applied_is_another_file(source: Path, plan: Plan) -> None:
    install(str(source), plan)
    with pytest.raises(SourceChanged, match="older file"):
        logged(source, plan, 5)


HARMLESS = ["VACUUM", "ANALYZE", "CREATE INDEX more ON users (n)", "PRAGMA user_version = 7"]
HARMFUL = {
    "CREATE TABLE newcomer (id INTEGER PRIMARY KEY)": "table newcomer was created",
    "ALTER TABLE users ADD COLUMN more TEXT": "table users was altered",
    "DROP TABLE pairs": "table pairs was dropped",
    "ALTER TABLE tags RENAME TO labels": "table tags was dropped",
    "CREATE UNIQUE INDEX only ON users (n)": "unique index only on users was created",
    "DROP TABLE pg_cutover_log": "change log was dropped",
    "DROP TABLE pg_cutover_capture": "change log was dropped",
    "DROP TRIGGER pg_cutover_capture_0_insert": "table pairs lost the triggers",
    "DROP TRIGGER seen": "trigger seen on users was dropped",
    "CREATE VIEW shown AS SELECT id FROM users": "view shown was created",
}


def test_guard_lets_pass_what_changes_no_row(source: Path, plan: Plan) -> None:
    install(str(source), plan)
    guard = Guard(str(source), plan)
    with closing(open_readonly(str(source), bytearray)) as connection:
        guard.check(connection)
        for statement in HARMLESS:
            write(source, statement)
            guard.check(connection)
        raise_fence(str(source), "f-1")
        guard.check(connection)
        lift_fence(str(source))
        guard.check(connection)


@pytest.mark.parametrize("statement", HARMFUL)
def test_guard_names_what_was_changed(source: Path, plan: Plan, statement: str) -> None:
    before = install(str(source), plan).id
    guard = Guard(str(source), plan)
    with closing(open_readonly(str(source), bytearray)) as connection:
        guard.check(connection)
        write(source, statement)
        for watching in (guard, Guard(str(source), plan)):
            with pytest.raises(SourceChanged, match=HARMFUL[statement]):
                watching.check(connection)
    remove(str(source))
    write(source, "INSERT INTO users (id) VALUES (77)")
    if "pg_cutover" in statement or "seen" in statement:
        assert install(str(source), plan).id != before


def test_guard_sees_a_table_that_was_made_anew(source: Path, plan: Plan) -> None:
    install(str(source), plan)
    guard = Guard(str(source), plan)
    with closing(open_readonly(str(source))) as connection:
        guard.check(connection)
        sql = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'tags'").fetchone()[0]
        write(source, "CREATE TABLE kept AS SELECT * FROM tags", "DROP TABLE tags", sql, "DROP TABLE kept")
        with pytest.raises(SourceChanged, match="table tags lost the triggers of its capture"):
            guard.check(connection)
    assert install(str(source), plan).queries != []


def test_unique_index_that_only_the_application_can_compute_is_refused(make_sqlite: MakeSqlite) -> None:
    source = make_sqlite("CREATE TABLE t (id INTEGER PRIMARY KEY, x);")
    plan = planned(source)[0]
    with closing(sqlite3.connect(source)) as connection:
        connection.create_function("fold", 1, lambda value: value, deterministic=True)
        connection.execute("CREATE UNIQUE INDEX folded ON t (fold(x))")
    before = objects(source)
    with pytest.raises(Refused, match=r"table t: its unique index folded cannot be followed \(.*fold"):
        install(str(source), plan)
    assert objects(source) == before


def test_victims_are_found_by_their_index(make_sqlite: MakeSqlite) -> None:
    """A capture that read a whole table for each write would pass every other test."""
    source = make_sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INT NOT NULL DEFAULT 1, g AS (a || b));"
        "CREATE UNIQUE INDEX i1 ON t (lower(a), b DESC); CREATE UNIQUE INDEX i2 ON t (a || 'x' COLLATE NOCASE);"
        "CREATE UNIQUE INDEX i3 ON t (a COLLATE NOCASE) WHERE b > 1; CREATE UNIQUE INDEX i4 ON t (g);"
        "CREATE UNIQUE INDEX i5 ON t ((a || 'y') COLLATE NOCASE) WHERE a IS NOT NULL;"
    )
    many = ((n, f"a{n}", n) for n in range(20_000))
    with closing(sqlite3.connect(source)) as connection:
        connection.executemany("INSERT INTO t VALUES (?, ?, ?)", many)
        connection.commit()
    install(str(source), planned(source)[0])
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    with closing(sqlite3.connect(source)) as connection:
        connection.set_progress_handler(count, 100)
        connection.execute("REPLACE INTO t VALUES (30000, 'A5', 5)")
        connection.execute("UPDATE OR REPLACE t SET a = 'A6', b = 6 WHERE id = 7")
        connection.set_progress_handler(None, 0)
        assert connection.execute("SELECT count(*) FROM t WHERE id IN (5, 6)").fetchone() == (0,)
        assert {k for (k,) in connection.execute("SELECT k0 FROM pg_cutover_log")} == {5, 6, 7, 30000}
    assert steps < 30


def test_fenced_source_is_not_captured_and_a_replay_passes_the_fence(source: Path, plan: Plan) -> None:
    install(str(source), plan)
    raise_fence(str(source), "f-1")
    with pytest.raises(Refused, match="is fenced"):
        install(str(source), plan)
    with closing(open_writable(str(source))) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(OPEN_REPLAY)
        connection.execute("INSERT INTO users VALUES (50, 'fifty', 50)")
        connection.execute(CLOSE_REPLAY)
        connection.execute("COMMIT")
        with pytest.raises(sqlite3.IntegrityError, match="fence"):
            connection.execute("INSERT INTO users VALUES (51, 'x', 5)")
        # The application's trigger was set aside: PostgreSQL's rows come as they are.
        assert connection.execute("SELECT count(*) FROM plain").fetchone() == (3,)
        lift_fence(str(source))
        connection.execute("INSERT INTO users VALUES (51, 'x', 5)")
        assert connection.execute("SELECT max(x), count(*) FROM plain").fetchone() == (51, 4)


def test_wal_is_arranged_by_consent_only_and_put_back(make_sqlite: MakeSqlite, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_sqlite("CREATE TABLE t (id INTEGER PRIMARY KEY);")
    plan = planned(source)[0]
    with pytest.raises(Refused, match="cutover_source_wal: true"):
        wal.arrange(str(source), consent=False)
    assert wal.arrange(str(source), consent=True, check_mode=True) == "delete"
    assert wal.mode(str(source)) == "delete"
    install(str(source), plan)
    monkeypatch.setattr(wal, "WAIT_SECONDS", 0.2)
    with (
        holding(source, "BEGIN", "SELECT * FROM t"),
        pytest.raises(SourceError, match=r"could not be switched .* python"),
    ):
        wal.arrange(str(source), consent=True)
    assert wal.arrange(str(source), consent=True) == "delete"
    assert (wal.mode(str(source)), wal.arrange(str(source), consent=False)) == ("wal", "wal")
    monkeypatch.setattr(wal, "BACK_SECONDS", 0.2)
    with holding(source, "SELECT * FROM t"):
        assert "stays in WAL mode" in str(wal.put_back(str(source)))
    assert wal.put_back(str(source)) is None
    assert wal.mode(str(source)) == "delete"


def test_writer_that_does_not_let_go_is_named(source: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installing, "WAIT_SECONDS", 0.05)
    before = objects(source)
    with holding(source, "BEGIN IMMEDIATE"), pytest.raises(SourceError, match="nothing was changed"):
        install(str(source), plan)
    assert objects(source) == before


def test_other_processes_are_followed(source: Path, plan: Plan) -> None:
    install(str(source), plan)
    replica = Replica(source, plan)
    written_elsewhere(source, "UPDATE users SET n = n + 1", "DELETE FROM tags WHERE name = 'abc'")
    assert replica.differences() != []
    assert replica.follow(2) == 4
    assert replica.differences() == []


def test_cost_is_measured_beside_the_source(source: Path, plan: Plan, tmp_path: Path) -> None:
    before = source.read_bytes()
    found = cost.measure(str(source), plan, str(tmp_path), 0.1)
    assert set(found["writes"]) == {"update", "delete", "insert"}
    assert found["seconds_with"] > 0
    assert source.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
