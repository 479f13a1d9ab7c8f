# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects beside rows mean in PostgreSQL what they mean in SQLite: checks, computed columns, indexes, views."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg2

from conftest import MakeSqlite
from cutover.access import close_access, open_access
from cutover.target.catalog import own_tables
from cutover.target.connect import connect
from support.engine import checked, copy, errors, finish, migrate, planned, verify
from support.independent import execute, fetch
from support.postgres import Cluster


def refused(url: str, statement: str) -> str | None:
    """The SQLSTATE with which PostgreSQL refuses a statement; None when it takes it."""
    try:
        execute(url, statement)
    except psycopg2.Error as error:
        return error.pgcode
    return None


def refused_by_sqlite(path: Path, statement: str) -> bool:
    """Whether SQLite refuses it; nothing stays."""
    with closing(sqlite3.connect(path)) as connection:
        try:
            connection.execute(statement)
        except sqlite3.IntegrityError:
            return True
    return False


# ---------------------------------------------------------------- CHECK


def test_checks_hold_for_new_rows_as_in_sqlite(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, status TEXT DEFAULT 'new' CHECK (status IN (\"new\", 'done')), n INT CONSTRAINT positive CHECK (n > 0 OR n IS NULL),"
        "active BOOLEAN CHECK (active IN (0, 1)), data JSON CHECK (json_valid(data) OR data IS NULL), code TEXT, "
        "CHECK (length(code) = 3 AND code NOT GLOB '*[^A-Z]*'), CONSTRAINT \"both\" CHECK (NOT (active = 1 AND n % 2 = 1)));"
        "INSERT INTO t (n, active) VALUES (2, 1), (NULL, 0)"
    )
    result = migrate(path, database)
    assert [n for n in result.plan.not_carried if n.kind == "check"] == []
    found = fetch(
        database,
        "SELECT conname, convalidated FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace ORDER BY 1",
    )
    assert found == [
        (name, True)
        for name in ("both", "positive", "t_active_check", "t_code_check", "t_data_check", "t_status_check")
    ]
    for values in (
        "status) VALUES ('New'", "status) VALUES ('done'", "status) VALUES (NULL", "n) VALUES (0", "n) VALUES (NULL", "n) VALUES (-1",
        "code) VALUES ('ABC'", "code) VALUES ('ABc'", "code) VALUES ('ABCD'", "code) VALUES (NULL", "n, active) VALUES (3, TRUE", "n, active) VALUES (4, TRUE",
        "n, active) VALUES (3, FALSE", "n, active) VALUES (3, NULL",
    ):  # fmt: skip
        statement = f"INSERT INTO t ({values})"
        assert refused(database, statement) == ("23514" if refused_by_sqlite(path, statement) else None), statement


def test_old_rows_that_contradict_a_check_are_found_and_may_stay(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT CHECK (n > 0)); PRAGMA ignore_check_constraints = 1; INSERT INTO t VALUES (7, -1), (8, 1), (9, -2)"
    )
    plan, _ = planned(path)
    [finding] = errors(checked(path, plan))
    assert (finding.table, finding.key, finding.message[:37]) == ("t", "id=7", "2 rows contradict CHECK (n > 0); mend")
    migrate(path, database, finding.decide)
    assert refused(database, "INSERT INTO t (n) VALUES (-1)") == "23514"
    assert fetch(database, "SELECT count(*) FROM t") == [(3,)]


def test_check_that_is_left_out_is_listed(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite("CREATE TABLE t (n INT CHECK (n > 0), h TEXT CHECK (hex(h) <> ''))")
    result = migrate(path, database, {"tables": {"t": {"checks": {"t_n_check": {"carry": False}}}}})
    assert {n.reason for n in result.plan.not_carried} == {
        "CHECK (n > 0): the plan says so",
        "CHECK (hex(h) <> ''): it uses the function hex()",
    }
    execute(database, "INSERT INTO t (n) VALUES (-1)")


# ---------------------------------------------------------------- generated columns


def test_computed_columns_are_computed_by_postgresql(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, first TEXT, last TEXT, n INT, v TEXT AS (first || ' ' || last) VIRTUAL, s INT AS (n * 2) STORED NOT NULL,"
        "b BOOLEAN AS (n > 3), c AS (s + 1), low TEXT GENERATED ALWAYS AS (lower(last)) STORED UNIQUE, h TEXT AS (hex(first)));"
        "INSERT INTO t (first, last, n) VALUES ('A', 'B', 1), ('É', 'CÀ', 5), (NULL, NULL, 0)"
    )
    result = migrate(path, database)
    assert result.verified["ok"]
    assert [n.object for n in result.plan.not_carried] == ["t.h"]
    with closing(sqlite3.connect(path)) as source:
        mine = source.execute("SELECT v, s, b, c, low, h FROM t ORDER BY id").fetchall()
    assert fetch(database, "SELECT v, s, b::int, c, low, h FROM t ORDER BY id") == mine
    execute(database, "INSERT INTO t (first, last, n) VALUES ('x', 'Y', 4)")
    assert fetch(database, "SELECT v, s, b, c, low FROM t WHERE n = 4") == [("x Y", 8, True, 9, "y")]
    assert refused(database, "INSERT INTO t (last, n) VALUES ('y', 1)") == "23505"
    assert refused(database, "UPDATE t SET s = 1") == "428C9"


def test_computed_column_that_lies_is_found_by_verify(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT, d INT AS (n + 1)); INSERT INTO t (n) VALUES (1)")
    plan = migrate(path, database).plan
    execute(
        database, "ALTER TABLE t DROP COLUMN d", "ALTER TABLE t ADD COLUMN d bigint GENERATED ALWAYS AS (n + 2) STORED"
    )
    result = verify(path, database, plan)
    assert not result["ok"]
    assert [(d["column"], d["source"], d["target"]) for d in result["differences"]] == [("d", "2", "3")]


def test_computed_column_may_stay_plain(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite("CREATE TABLE t (n INT, d INT AS (n + 1)); INSERT INTO t (n) VALUES (1)")
    result = migrate(path, database, {"tables": {"t": {"columns": {"d": {"generated": False}}}}})
    assert [n.kind for n in result.plan.not_carried] == ["generated column"]
    execute(database, "UPDATE t SET d = 7")


# ---------------------------------------------------------------- indexes


def test_partial_and_expression_indexes_keep_their_meaning(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, slug TEXT, gone DATETIME, email TEXT, n INT, live BOOLEAN NOT NULL DEFAULT 1);"
        "CREATE UNIQUE INDEX slug_live ON t (slug) WHERE gone IS NULL; CREATE UNIQUE INDEX mail ON t (lower(email));"
        "CREATE INDEX live ON t (n DESC, slug) WHERE live = 1; CREATE UNIQUE INDEX nocase ON t (trim(slug) COLLATE NOCASE, n) WHERE n IS NOT NULL;"
        "CREATE INDEX h ON t (hex(slug)); CREATE INDEX rt ON t (slug COLLATE RTRIM);"
        "INSERT INTO t (slug, gone, email) VALUES ('a', NULL, 'X@y'), ('a', '2024-01-01 00:00:00', NULL)"
    )
    result = migrate(path, database)
    assert {n.object: n.reason for n in result.plan.not_carried} == {
        "h": "uses the function hex()",
        "rt": "uses the collation RTRIM, which PostgreSQL does not have",
    }
    for statement in (
        "INSERT INTO t (slug) VALUES ('a')",
        "INSERT INTO t (slug, gone) VALUES ('a', '2024-01-01 00:00:00')",
        "INSERT INTO t (email) VALUES ('x@Y')",
        "INSERT INTO t (email) VALUES ('é')",
        "INSERT INTO t (slug, n, gone) VALUES (' b', 1, '2024-01-01 00:00:00'), ('B ', 1, '2024-01-01 00:00:00')",
        "INSERT INTO t (slug, n, gone) VALUES (' b', 1, '2024-01-01 00:00:00'), ('B ', 2, '2024-01-01 00:00:00')",
    ):
        assert (refused(database, statement) == "23505") == refused_by_sqlite(path, statement), statement
    # What the application asks is served by them.
    execute(database, "INSERT INTO t (email) SELECT 'm' || n FROM generate_series(1, 2000) n", "ANALYZE t")
    shown = fetch(database, "EXPLAIN SELECT * FROM t WHERE lower(email) = 'm7'")
    assert "mail" in shown[0][0] or "mail" in shown[1][0]


def test_foreign_keys_get_the_index_that_they_lack(make_sqlite: MakeSqlite, database: str) -> None:
    sql = (
        "CREATE TABLE p (id INTEGER PRIMARY KEY, a INT, b INT, UNIQUE (a, b)); CREATE TABLE c (id INTEGER PRIMARY KEY, p INT REFERENCES p, q INT REFERENCES p,"
        "r INT REFERENCES p, a INT, b INT, FOREIGN KEY (a, b) REFERENCES p (a, b)); CREATE INDEX has ON c (q, id); CREATE INDEX part ON c (r) WHERE r > 1;"
        "CREATE TABLE k (p INT REFERENCES p, q INT REFERENCES p, PRIMARY KEY (p, q))"
    )

    def made(overrides: dict[str, object]) -> list[str]:
        plan, _ = planned(make_sqlite(sql), overrides)
        return [index.target for table in plan.tables for index in table.indexes if index.target.endswith("_idx")]

    assert made({}) == ["c_p_idx", "c_r_idx", "c_a_b_idx", "k_q_idx"]
    assert made({"foreign_key_indexes": False}) == []
    assert made({"tables": {"c": {"foreign_key_indexes": False}}}) == ["k_q_idx"]
    assert made({"tables": {"c": {"indexes": {"c_r_idx": {"carry": False}}}}}) == ["c_p_idx", "c_a_b_idx", "k_q_idx"]
    migrate(make_sqlite(sql), database)
    found = fetch(
        database, "SELECT indexname FROM pg_indexes WHERE schemaname = 'public' AND indexname LIKE '%idx' ORDER BY 1"
    )
    assert [name for (name,) in found] == ["c_a_b_idx", "c_p_idx", "c_r_idx", "k_q_idx"]


# ---------------------------------------------------------------- views

SHOP = """
CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE, "Email" TEXT, active BOOLEAN NOT NULL DEFAULT 1, born DATE, token UUID, at DATETIME);
CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer INT REFERENCES customer, quantity INT, price DECIMAL(10,2), weight REAL, placed DATETIME, note TEXT);
CREATE TABLE visit (id INTEGER PRIMARY KEY, at DATETIME, until DATETIME, CHECK (until > at));
INSERT INTO visit VALUES (1, '2024-01-01 10:00:00', '2024-01-01 10:00:01'), (2, '2023-12-31 23:59:59', NULL), (3, '2024-02-01 00:00:00', '2025-01-01 00:00:00');
INSERT INTO customer VALUES (1, 'Ann', 'A@x', 1, '1990-01-02', '6f9619ff-8b86-d011-b42d-00cf4fc964ff', '2024-01-01 10:00:00'), (2, 'ann', NULL, 0, NULL, NULL, NULL),
  (3, 'Éva', 'e@x', 1, '2000-12-31', '00000000-0000-0000-0000-000000000000', '2024-01-01 10:00:00.5'), (4, NULL, 'z@x', 0, '1990-01-02', NULL, NULL);
INSERT INTO purchase VALUES (1, 1, 2, 9.99, 0.5, 1700000000000, 'a'), (2, 1, NULL, 1, 1.5, 1600000000123, 'B'), (3, 2, 5, 0.1, NULL, NULL, NULL), (4, 3, -7, 3, 2.0, 1650000000000, 'b');
"""
#: Views that arrive; each is compared row by row.
VIEWS = {
    "columns": "SELECT id, name, \"Email\" AS mail, active, born, token, at FROM customer",
    "star": "SELECT * FROM customer WHERE active",
    "stars": "SELECT p.*, c.name FROM purchase p JOIN customer AS c ON c.id = p.customer",
    "computed": "SELECT purchase.id + 1, quantity * 2 AS twice, quantity > 2 AS many, upper(note) up, price, coalesce(quantity, 0) q, active AND quantity > 1, NULL n, 'x' x, 1.5 r FROM purchase, customer WHERE customer = customer.id",
    "totals": "SELECT c.id, c.name, count(p.id) AS orders, sum(p.quantity) AS items, max(p.placed) AS latest, min(p.note) FROM customer c LEFT JOIN purchase p ON p.customer = c.id GROUP BY c.id",
    "grouped": "SELECT active, count(*) n, count(DISTINCT born), avg(id) FROM customer GROUP BY 1 HAVING count(*) > 1 ORDER BY n DESC, active",
    "whole": "SELECT count(*), sum(quantity), max(quantity), avg(quantity), min(weight) FROM purchase WHERE note LIKE 'b%' OR note IS NULL",
    "none": "SELECT count(*) n, sum(quantity) s, max(note) m FROM purchase WHERE id > 99",
    "cte": "WITH Big AS (SELECT * FROM purchase WHERE quantity > 1), named (a, b) AS (SELECT id, name FROM customer) SELECT big.id, named.b FROM big CROSS JOIN named WHERE named.a = big.customer",
    "inner_query": "SELECT q.n + 1 AS n, q.note FROM (SELECT count(*) AS n, note FROM purchase GROUP BY note) AS q WHERE q.n >= 1",
    "there": "SELECT name FROM customer c WHERE EXISTS (SELECT 1 FROM purchase p WHERE p.customer = c.id AND p.quantity > 1)",
    "in_query": "SELECT id FROM customer WHERE id NOT IN (SELECT customer FROM purchase WHERE customer IS NOT NULL)",
    "single": "SELECT id, (SELECT count(*) FROM purchase p WHERE p.customer = c.id) AS n FROM customer c",
    "both": "SELECT id, name FROM customer WHERE active UNION ALL SELECT id, note FROM purchase",
    "either": "SELECT id FROM customer UNION SELECT customer FROM purchase EXCEPT SELECT 2 ORDER BY 1 DESC",
    "different": "SELECT DISTINCT active, born IS NULL AS unborn FROM customer ORDER BY active, unborn",
    "sorted": "SELECT id, note FROM purchase ORDER BY note DESC, id LIMIT 3 OFFSET 1",
    "of_view": "SELECT t.name, t.orders + 1 AS next, s.token FROM totals t JOIN star s ON s.id = t.id WHERE s.token <> '6f9619ff-8b86-d011-b42d-00cf4fc964ff' OR t.latest > 1650000000000",
    "nocase": "SELECT a.id, b.id FROM customer a JOIN customer b ON a.name = b.name WHERE a.id < b.id",
    "recent": "SELECT max(at) AS latest, count(*) n FROM visit WHERE at >= '2024-01-01 00:00:00' OR until IS NULL",
    "visits": "SELECT id, at, until > at AS longer FROM visit ORDER BY at DESC",
    "born_late": "SELECT id, CASE active WHEN 1 THEN 'yes' ELSE 'no' END AS said FROM customer WHERE born >= '1995-01-01'",
}  # fmt: skip
#: Views that do not, and why.
LEFT_OUT = {
    "listed": ("SELECT group_concat(note) FROM purchase", "uses the function group_concat()"),
    "money": ("SELECT sum(price) FROM purchase", "sums numeric, which SQLite rounds as it goes"),
    "weights": ("SELECT sum(weight) FROM purchase", "sums real, which SQLite rounds as it goes"),
    "bare": ("SELECT note, count(*) FROM purchase", "names note, which is neither grouped nor aggregated"),
    "folded": ("SELECT name, count(*) FROM customer GROUP BY name", "groups by the collation NOCASE"),
    "latest": ("SELECT max(at) FROM customer", "column at is timestamp in PostgreSQL, but text of several forms in SQLite"),
    "counted": ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT i FROM n", "uses WITH RECURSIVE"),
    "ranked": ("SELECT id, row_number() OVER (ORDER BY id) FROM customer", "uses the function row_number()"),
    "months": ("SELECT strftime('%Y', at) FROM customer", "uses the function strftime()"),
    "physical": ("SELECT rowid FROM purchase", "names rowid, which is no column"),
    "of_listed": ("SELECT * FROM listed", "needs the view listed, which is not carried"),
    "master": ("SELECT name FROM sqlite_master", "reads from sqlite_master, which is not carried"),
    "guessed": ("SELECT id FROM customer WHERE name = \"Ann\"", 'names "Ann", which is no column'),
    "natural": ("SELECT 1 FROM customer NATURAL JOIN purchase", "joins with NATURAL JOIN purchase"),
}  # fmt: skip
#: Columns of views that read differently in the two databases by the plan: of the columns' own types.
_AS_SQLITE = {
    "bool": int,
    "Decimal": float,
    "date": str,
    "datetime": lambda v: round(v.timestamp() * 1000) if v.tzinfo else v.isoformat(" ").replace("00000", ""),
}


def plain(value: object) -> object:
    """A value of PostgreSQL as the source stores it."""
    return _AS_SQLITE.get(type(value).__name__, lambda v: v)(value)  # type: ignore[no-untyped-call]


def test_views_show_the_same_rows(make_sqlite: MakeSqlite, database: str) -> None:
    made = {**VIEWS, **{name: select for name, (select, _) in LEFT_OUT.items()}}
    # Made backwards: what a view needs may come behind it.
    path = make_sqlite(SHOP + ";".join(f"CREATE VIEW {name} AS {select}" for name, select in reversed(made.items())))
    result = migrate(path, database)
    assert {n.object: n.reason for n in result.plan.not_carried} == {
        name: reason for name, (_, reason) in LEFT_OUT.items()
    }
    with closing(sqlite3.connect(path)) as source:
        for name in VIEWS:
            cursor = source.execute(f"SELECT * FROM {name}")
            columns = [column[0] for column in cursor.description]
            mine = cursor.fetchall()
            theirs = [tuple(map(plain, row)) for row in fetch(database, f'SELECT * FROM "{name}"')]
            if "ORDER BY" not in VIEWS[name]:
                mine, theirs = sorted(mine, key=repr), sorted(theirs, key=repr)
            assert theirs == mine, (name, next(v.select for v in result.plan.views if v.name == name))
            there = fetch(
                database,
                "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum",
                f"public.{name}",
            )
            assert [column for (column,) in there] == columns


def test_views_go_with_their_tables_and_come_again(make_sqlite: MakeSqlite, postgres: Cluster, database: str) -> None:
    path = make_sqlite(SHOP + "CREATE VIEW v AS SELECT name FROM customer; CREATE VIEW w AS SELECT * FROM v")
    plan = migrate(path, database).plan
    assert [view.name for view in plan.views] == ["v", "w"]
    assert finish(path, database, plan) == []
    copy(path, database, plan, position="another", replace=True)
    assert len([s for s in finish(path, database, plan) if s.startswith("CREATE VIEW")]) == 2
    with closing(connect(database)) as connection:
        assert "public.v" in own_tables(connection, "pgcutover")
    role = postgres.create_database()
    try:
        with closing(connect(database)) as connection:
            open_access(connection, plan, role.owner)
            assert fetch(
                database,
                f"SELECT has_table_privilege('{role.owner}', 'w', 'SELECT'), has_table_privilege('{role.owner}', 'w', 'UPDATE')",
            ) == [(True, False)]
            close_access(connection, plan)
        # Written to: the tables and their views are kept aside, and new ones are made.
        copy(path, database, plan, position="third", replace=True)
        finish(path, database, plan)
        assert fetch(database, "SELECT schemaname FROM pg_views WHERE viewname = 'w' ORDER BY 1") == [
            ("pgcutover_kept_1",),
            ("public",),
        ]
    finally:
        execute(postgres.superuser_url(database.rsplit("/", 1)[1]), f"DROP OWNED BY {role.owner}")
        postgres.drop_database(role)


def test_view_is_left_out_or_renamed_as_the_plan_says(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        SHOP
        + f"CREATE VIEW v AS SELECT 1 AS a; CREATE VIEW w AS SELECT 2 AS b; CREATE VIEW {'l' * 64} AS SELECT 3 AS c"
    )
    result = migrate(path, database, {"views": {"v": {"carry": False}, "w": {"target": "W 2"}}})
    assert [(n.object, n.reason) for n in result.plan.not_carried] == [("v", "the plan says so")]
    assert fetch(database, f'SELECT b, c FROM "W 2", {"l" * 63}') == [(2, 3)]
    assert any("the name has 64 bytes" in f.message and f.severity == "warning" for f in result.findings)


# ---------------------------------------------------------------- collation by choice


def test_column_compares_without_case_by_choice(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE UNIQUE, code TEXT CHECK (code <> 'No'), UNIQUE (code));"
        "CREATE TABLE c (n TEXT COLLATE NOCASE REFERENCES t (name)); CREATE VIEW v AS SELECT id FROM t WHERE name = 'ANN';"
        "CREATE VIEW g AS SELECT code, count(*) FROM t GROUP BY code; INSERT INTO t VALUES (1, 'Ann', 'a'), (2, 'Bob', NULL); INSERT INTO c VALUES ('Bob')"
    )
    insensitive = {"collation": "case_insensitive"}
    columns = {"t": {"columns": {"name": insensitive, "code": insensitive}}, "c": {"columns": {"n": insensitive}}}
    result = migrate(path, database, {"tables": columns})
    assert result.verified["ok"]
    assert fetch(database, "SELECT id FROM t WHERE name = 'ANN'") == fetch(database, "SELECT id FROM v") == [(1,)]
    assert refused(database, "INSERT INTO t (name) VALUES ('BOB')") == "23505"
    assert refused(database, "INSERT INTO t (code) VALUES ('No')") == "23514"
    assert refused(database, "INSERT INTO t (code) VALUES ('NO')") is None
    assert [n.object for n in result.plan.not_carried] == ["g"]
    execute(database, "INSERT INTO c VALUES ('bob')")
    # Again: the collation is there already.
    copy(path, database, result.plan, position="another", replace=True)
