# SPDX-License-Identifier: GPL-3.0-or-later
"""What does not fit into the application's tables is found before anything is loaded, each with what to decide."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from conftest import MakeSqlite
from cutover.errors import Finding, PlanError, Refused, TargetError
from cutover.target.connect import connect
from support.engine import copy, errors, finish, merged, verify
from support.existing import catalog, checked, described, migrate, planned, prepare
from support.independent import execute, fetch
from support.postgres import Cluster


def found(
    make_sqlite: MakeSqlite, database: str, source: str, target: str, overrides: dict[str, Any] | None = None
) -> list[Finding]:
    """The errors of both passes: of the plan, and, where there are none, of the values."""
    execute(database, target)
    path = make_sqlite(source)
    plan, findings = planned(path, database, overrides)
    return errors(findings) or errors(checked(path, database, plan))


def column(decide: dict[str, Any], name: str = "x") -> dict[str, Any]:
    return {"tables": {"t": {"columns": {name: decide}}}}


#: type of the target, value in SQLite, what is said, what is proposed
VALUES: list[tuple[str, str, str, Any]] = [
    ("smallint", "40000", "is outside the range of smallint", None),
    ("integer", "2147483648", "is outside the range of integer", None),
    ("integer", "'five'", "holds text where the codec takes integers", None),
    ("varchar(3)", "'long'", "has 4 characters, more than varchar(3) holds", None),
    ("varchar(3)", "'日本語!'", "has 4 characters, more than varchar(3) holds", None),
    ("char(4)", "'ab'", "has 2 characters; char(4) would fill it up with blanks", {"codec": "char", "type": "char(4)", "rule": "pad"}),
    ("text", "7", "holds integer where the codec takes text", {"codec": "text", "type": "text", "rule": "as_text"}),
    ("numeric(4,2)", "'100.00'", "does not fit numeric(4,2)", None),
    ("numeric(4,2)", "0.125", "does not fit numeric(4,2)", None),
    ("real", "0.1", "real (single precision) cannot hold exactly", {"codec": "float4", "type": "real", "rule": "round_to_real"}),
    ("real", "1e300", "outside the range of real", None),
    ("double precision", "9007199254740993", "double precision cannot hold exactly", None),
    ("boolean", "2", "no boolean", None),
    ("boolean", "'yes'", "no boolean", None),
    ("mood", "'angry'", "is no label of the enum (happy, sad)", None),
    ("uuid", "'not-one'", "no UUID", None),
    ("date", "'2024-02-30'", "no valid date", None),
    ("timestamp(3)", "'2024-01-01 00:00:00.1234'", "finer fraction of a second than timestamp(3)", None),
    ("timestamp(0) with time zone", "1700000000123", "finer fraction of a second than timestamptz(0)", None),
    ("interval(2)", "1234567", "finer fraction of a second than interval(2)", None),
    ("jsonb", "'{broken'", "JSON", None),
    ("bytea", "'text'", "holds text where the codec takes blobs", {"codec": "blob", "type": "bytea", "rule": "text_as_bytes"}),
    ("name3", "'long'", "has 4 characters, more than varchar(3) holds", None),
]  # fmt: skip


def test_values_that_do_not_fit_are_all_found_in_one_pass(make_sqlite: MakeSqlite, database: str) -> None:
    execute(database, "CREATE TYPE mood AS ENUM ('happy', 'sad')", "CREATE DOMAIN name3 AS varchar(3)")
    for number, (type_name, *_) in enumerate(VALUES):
        execute(database, f"CREATE TABLE t{number} (id integer PRIMARY KEY, x {type_name})")
    source = "".join(
        f"CREATE TABLE t{number} (id INTEGER PRIMARY KEY, x); INSERT INTO t{number} VALUES (7, {value}), (8, NULL);"
        for number, (_, value, *_) in enumerate(VALUES)
    )
    path = make_sqlite(source)
    plan, findings = planned(path, database)
    assert errors(findings) == []
    wrong = {finding.table: finding for finding in errors(checked(path, database, plan))}
    for number, (type_name, value, said, proposed) in enumerate(VALUES):
        one = wrong.pop(f"t{number}")
        assert said in one.message, (type_name, value)
        assert (one.column, one.key) == ("x", "id=7")
        decided = (one.decide or {"tables": {}})["tables"].get(f"t{number}", {}).get("columns", {}).get("x")
        if proposed is not None:
            assert decided == proposed
        wrong[f"t{number}"] = one
    # What is proposed can be done and settles it; the rest has to be mended in the data or in the table.
    settled = merged(*(one.decide or {"tables": {name: {"carry": False}}} for name, one in wrong.items()))
    result = migrate(path, database, settled)
    assert result.verified["ok"]
    assert {rule["count"] for rule in result.copied["rules"]} == {1}


TYPES = [
    "text[]",
    "integer[]",
    "int4range",
    "point",
    "xml",
    "bit(3)",
    "money",
    "timetz",
    "tsvector",
    "pair",
    "macaddr",
    "oid",
]


def test_types_that_nothing_fills_are_refused_by_name(make_sqlite: MakeSqlite, database: str) -> None:
    execute(database, "CREATE TYPE pair AS (a int, b int)")
    columns = [(f"x{number}", type_name) for number, type_name in enumerate(TYPES)]
    source = f"CREATE TABLE t (id INTEGER PRIMARY KEY, {', '.join(name for name, _ in columns)}); INSERT INTO t (id, x0) VALUES (1, 'a')"
    target = f"CREATE TABLE t (id integer PRIMARY KEY, {', '.join(' '.join(column) for column in columns)})"
    wrong = found(make_sqlite, database, source, target)
    assert [finding.column for finding in wrong] == [name for name, _ in columns]
    for finding, (name, type_name) in zip(wrong, columns):
        assert finding.message.startswith(f"is {type_name} in PostgreSQL"), finding.message
        assert finding.decide == column({"carry": False}, name)
    assert migrate(make_sqlite(source), database, merged(*(f.decide or {} for f in wrong))).verified["ok"]


T = "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT, firstName TEXT); INSERT INTO t VALUES (1, 'a', 'b')"


def test_table_that_is_missing(make_sqlite: MakeSqlite, database: str) -> None:
    [wrong] = found(make_sqlite, database, T, "CREATE TABLE ts (id integer)")
    assert wrong.message == "schema public has no table for it. Leave its rows in SQLite; or name it: target: ts"
    assert wrong.decide == {"tables": {"t": {"carry": False}}}


def test_target_without_any_table(make_sqlite: MakeSqlite, database: str) -> None:
    [wrong] = found(make_sqlite, database, T, "SELECT 1")
    assert "has no tables. Run the application's own migrations against it first" in wrong.message


def test_columns_that_are_missing(make_sqlite: MakeSqlite, database: str) -> None:
    wrong = found(make_sqlite, database, T, "CREATE TABLE t (id integer, first text)")
    assert [(f.column, f.message) for f in wrong] == [
        ("x", "table t of PostgreSQL has no column for it. Leave its values in SQLite"),
        (
            "firstName",
            "table t of PostgreSQL has no column for it. Leave its values in SQLite; or name it: target: first",
        ),
    ]
    settled = merged(*(f.decide or {} for f in wrong))
    result = migrate(make_sqlite(T), database, settled)
    assert result.verified["ok"]
    assert [item.object for item in result.plan.not_carried] == ["t.x", "t.firstName"]


@pytest.mark.parametrize("spelling", ["FIRSTNAME", "first_name", "firstname", "FirstName"])
def test_name_that_is_spelled_otherwise_is_matched_and_told(
    make_sqlite: MakeSqlite, database: str, spelling: str
) -> None:
    execute(database, f'CREATE TABLE "T" ("ID" integer PRIMARY KEY, "X" text, "{spelling}" text)')
    result = migrate(make_sqlite(T), database)
    told = {(f.table, f.column): f.message for f in result.findings if "whose name is alike" in f.message}
    assert told["t", "firstName"] == f"goes into column {spelling}, the only one whose name is alike"
    assert told["t", None] == "goes into table T, the only one whose name is alike"
    assert fetch(database, f'SELECT "{spelling}" FROM "T"') == [("b",)]


def test_name_with_two_that_are_alike_is_asked_for(make_sqlite: MakeSqlite, database: str) -> None:
    target = "CREATE TABLE t (id integer, x text, first_name text, firstname text)"
    [wrong] = found(make_sqlite, database, T, target, column({"target": "nowhere"}, "firstName"))
    assert "has no column for it called 'nowhere', which the plan names" in wrong.message
    execute(database, "DROP TABLE t")
    [wrong] = found(
        make_sqlite, database, T, target.replace("firstname", '"FirstName"').replace("first_name", '"FIRSTNAME"')
    )
    assert wrong.column == "firstName"
    settled = column({"target": "FIRSTNAME"}, "firstName")
    assert migrate(make_sqlite(T), database, settled).verified["ok"]


def test_two_columns_do_not_go_into_one(make_sqlite: MakeSqlite, database: str) -> None:
    target = "CREATE TABLE t (id integer, x text)"
    [wrong] = found(make_sqlite, database, T, target, column({"target": "x"}, "firstName"))
    assert wrong.column == "firstName"


@pytest.mark.parametrize(
    ("more", "severity", "said"),
    [
        ("more text NOT NULL", "error", "column more of PostgreSQL is NOT NULL without a default"),
        ("more text", "info", "columns of PostgreSQL without a column in the source: more (NULL)"),
        ("more text NOT NULL DEFAULT 'm'", "info", "more (its default)"),
        ("more serial", "info", "more (its default)"),
        ("more int GENERATED ALWAYS AS IDENTITY", "info", "more (its default)"),
        ("more tsvector", "warning", "column more (tsvector) of PostgreSQL is left empty by the load"),
    ],
)
def test_column_that_only_the_target_has(
    make_sqlite: MakeSqlite, database: str, more: str, severity: str, said: str
) -> None:
    execute(database, f'CREATE TABLE t (id integer PRIMARY KEY, x text, "firstName" text, {more})')
    path = make_sqlite(T)
    _, findings = planned(path, database)
    [finding] = [f for f in findings if said in f.message]
    assert finding.severity == severity
    if severity != "error":
        assert migrate(path, database).verified["ok"]


def test_columns_that_postgresql_computes_are_left_alone(make_sqlite: MakeSqlite, database: str) -> None:
    execute(
        database,
        'CREATE TABLE t (id integer PRIMARY KEY, x text, "firstName" text GENERATED ALWAYS AS (upper(x)) STORED,'
        " search tsvector GENERATED ALWAYS AS (to_tsvector('english', x)) STORED)",
        "CREATE INDEX search ON t USING gin (search)",
    )
    result = migrate(make_sqlite(T + "; CREATE VIRTUAL TABLE t_fts USING fts5(x, content='t')"), database)
    assert result.verified["ok"]
    left = {item.object: item.reason for item in result.plan.not_carried}
    assert left["t.firstName"] == "PostgreSQL computes it (upper(x))"
    assert left["t_fts"] == "PostgreSQL has what the application made there"
    assert fetch(database, 'SELECT "firstName", search::text FROM t') == [("A", "")]


def test_null_in_a_column_that_is_not_null(make_sqlite: MakeSqlite, database: str) -> None:
    source = "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO t VALUES (1, 'a'), (2, NULL)"
    [wrong] = found(make_sqlite, database, source, "CREATE TABLE t (id integer, x text NOT NULL)")
    assert (wrong.column, wrong.message[:26]) == ("x", "1 rows hold NULL, and the ")


def test_values_that_the_target_holds_unique(make_sqlite: MakeSqlite, database: str) -> None:
    source = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INT); INSERT INTO t VALUES (1, 'a', 1), (2, 'a', 1), (3, NULL, 1), (4, NULL, 1)"
    [wrong] = found(
        make_sqlite, database, source, "CREATE TABLE t (id integer, a text, b int, CONSTRAINT once UNIQUE (a, b))"
    )
    assert (wrong.column, wrong.value) == ("a, b", "'a', 1")
    assert wrong.message.startswith("1 values stand in several rows, and PostgreSQL holds them unique (index once)")


def test_orphans(make_sqlite: MakeSqlite, database: str) -> None:
    source = "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE t (id INTEGER PRIMARY KEY, x INT); INSERT INTO t VALUES (1, 5)"
    target = (
        "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY, x int CONSTRAINT up REFERENCES p)"
    )
    [wrong] = found(make_sqlite, database, source, target)
    assert wrong.decide == {"tables": {"t": {"foreign_keys": {"up": {"validate": False}}}}}
    assert migrate(make_sqlite(source), database, wrong.decide).verified["ok"]
    assert fetch(database, "SELECT convalidated FROM pg_constraint WHERE conname = 'up'") == [(False,)]


def test_times_without_a_zone_in_a_column_of_instants(make_sqlite: MakeSqlite, database: str) -> None:
    source = "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO t VALUES (1, '2024-01-01 10:00:00')"
    [wrong] = found(make_sqlite, database, source, "CREATE TABLE t (id int PRIMARY KEY, x timestamptz)")
    assert wrong.decide == {"zone": "UTC"}
    assert migrate(make_sqlite(source), database, wrong.decide).verified["ok"]
    assert fetch(database, "SELECT extract(epoch FROM x)::bigint FROM t") == [(1704103200,)]


OVERRIDES: list[tuple[dict[str, Any], str]] = [
    ({"tabels": {}}, "'tabels' is unknown. Did you mean 'tables'?"),
    ({"tables": {"tt": {}}}, "tables: 'tt' is unknown. Did you mean 't'?"),
    ({"tables": {"t": {"seeded": "replce"}}}, "tables.t.seeded: 'replce' is unknown. Did you mean 'replace'?"),
    ({"tables": {"t": {"primary_key": "unique"}}}, "tables.t: 'primary_key' is unknown."),
    (column({"codec": "real"}), "tables.t.columns.x.codec: real does not fill varchar(5); codecs that do: text."),
    (
        column({"codec": "text", "type": "text"}),
        "tables.t.columns.x.type: the column is varchar(5) in PostgreSQL and stays so",
    ),
    (column({"type": "text"}), "name a codec that fills it, or alter the table"),
    ({"zone": "Europe/Berlin"}, "cutover_plan_overrides.zone: is UTC or left out"),
    ({"bookkeeping": "t"}, "must be a list of names of tables"),
    (
        {"tables": {"t": {"foreign_keys": {"fk": {"validate": False}}}}},
        "tables.t.foreign_keys: 'fk' is unknown. Valid: up.",
    ),
]


def test_overrides_that_do_not_fit(make_sqlite: MakeSqlite, database: str) -> None:
    execute(
        database, 'CREATE TABLE t (id integer PRIMARY KEY CONSTRAINT up REFERENCES t, x varchar(5), "firstName" text)'
    )
    path = make_sqlite(T)
    for overrides, said in OVERRIDES:
        with pytest.raises(PlanError) as caught:
            planned(path, database, overrides)
        assert said in str(caught.value)


def test_history_of_migrations_is_left_alone_unless_told(make_sqlite: MakeSqlite, database: str) -> None:
    tools = ["alembic_version", "knex_migrations", "SequelizeMeta", "__EFMigrationsHistory", "our_own"]
    target = "".join(f'CREATE TABLE "{tool}" (v text); INSERT INTO "{tool}" VALUES (\'pg\');' for tool in tools)
    execute(database, target, 'CREATE TABLE t (id integer PRIMARY KEY, x text, "firstName" text)')
    source = (
        T + ";" + "".join(f'CREATE TABLE "{tool}" (v text); INSERT INTO "{tool}" VALUES (\'lite\');' for tool in tools)
    )
    result = migrate(make_sqlite(source), database, {"bookkeeping": ["our_own"]})
    assert [table.name for table in result.plan.tables] == ["t"]
    assert fetch(database, 'SELECT * FROM "SequelizeMeta" UNION ALL SELECT * FROM our_own') == [("pg",), ("pg",)]
    told = {"tables": {"knex_migrations": {"carry": True, "seeded": "replace"}}, "bookkeeping": ["our_own"]}
    plan, findings = planned(make_sqlite(source), database, told)
    assert errors(findings) == []
    assert {table.name for table in plan.tables} == {"t", "knex_migrations"}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        ("CREATE TABLE t (id int, x text, \"firstName\" text) PARTITION BY HASH (id)", "t is a partitioned table"),
        ("CREATE TABLE up (id int); CREATE TABLE t (x text, \"firstName\" text) INHERITS (up)", "t is a child table"),
        ("CREATE TABLE t (id int, x text, \"firstName\" text); ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY", "FORCE ROW LEVEL SECURITY"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_loaded(make_sqlite: MakeSqlite, database: str, make: str, said: str) -> None:
    assert any(said in wrong.message for wrong in found(make_sqlite, database, T, make))


@pytest.fixture
def another(postgres: Cluster, database: str) -> Iterator[str]:
    """URL of a role that owns nothing in the database."""
    made = postgres.create_database()
    name = database.rsplit("/", 1)[1]
    yield postgres.url(made.owner, made.url.split(":")[2].split("@")[0], name)
    execute(postgres.superuser_url(name), f"DROP OWNED BY {made.owner}")
    postgres.drop_database(made)


def test_tables_of_another_role(make_sqlite: MakeSqlite, database: str, another: str) -> None:
    execute(database, 'CREATE TABLE t (id int, x text, "firstName" text)')
    _, findings = planned(make_sqlite(T), another)
    [wrong] = errors(findings)
    assert wrong.message.startswith("the role of cutover_target_url does not own t")


def test_tables_that_pg_cutover_made_itself(make_sqlite: MakeSqlite, database: str) -> None:
    from support import engine

    path = make_sqlite(T)
    engine.migrate(path, database)
    [wrong] = [f for f in errors(planned(path, database)[1]) if "itself made" in f.message]
    assert "an earlier run had cutover_schema: derive" in wrong.message


# ---------------------------------------------------------------- what changes after the plan was made

CHANGES = [
    "ALTER TABLE t ADD COLUMN late text",
    "ALTER TABLE t ALTER COLUMN x TYPE varchar(50)",
    "ALTER TABLE t ALTER COLUMN x SET NOT NULL",
    "ALTER TABLE t ALTER COLUMN x SET DEFAULT 'd'",
    "ALTER TABLE t ADD CONSTRAINT late CHECK (x <> '')",
    "ALTER TABLE t ADD CONSTRAINT late FOREIGN KEY (id) REFERENCES t",
    "CREATE INDEX late ON t (x)",
    "ALTER TYPE mood ADD VALUE 'late'",
    "CREATE TRIGGER late BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "DROP TABLE t",
]


def test_target_that_changes_after_the_plan_is_refused(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT, firstName TEXT)")
    for change in CHANGES:
        execute(
            database,
            "DROP TABLE IF EXISTS t",
            "DROP TYPE IF EXISTS mood",
            "CREATE TYPE mood AS ENUM ('good')",
            'CREATE TABLE t (id integer PRIMARY KEY, x text, "firstName" mood)',
        )
        plan, _ = planned(path, database)
        prepare(database, plan)
        execute(database, change)
        before = catalog(database)
        for step in (prepare, lambda url, plan: copy(path, url, plan)):
            with pytest.raises(Refused, match="tables in PostgreSQL changed after the plan was made"):
                step(database, plan)
        assert catalog(database) == before


def test_source_that_changes_after_the_plan_is_refused(make_sqlite: MakeSqlite, database: str) -> None:
    execute(database, "CREATE TABLE t (id integer PRIMARY KEY, x text)")
    plan, _ = planned(make_sqlite(T), database, column({"carry": False}, "firstName"))
    prepare(database, plan)
    with pytest.raises(Refused, match="the source's structure changed after the plan was made: table t"):
        copy(make_sqlite(T + "; ALTER TABLE t ADD COLUMN late"), database, plan)


def test_tables_locked_by_others_are_told(
    make_sqlite: MakeSqlite, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cutover.existing._LOCK_TIMEOUT", "200ms")
    execute(database, 'CREATE TABLE t (id integer PRIMARY KEY REFERENCES t, x text, "firstName" text)')
    path = make_sqlite(T)
    plan, _ = planned(path, database)
    prepare(database, plan)
    with closing(connect(database)) as holder, holder.cursor() as cursor:
        cursor.execute("LOCK TABLE public.t IN ACCESS SHARE MODE")
        with pytest.raises(TargetError, match="The copy cannot begin: canceling statement due to lock timeout"):
            copy(path, database, plan)
    copy(path, database, plan)
    finish(path, database, plan)
    assert verify(path, database, plan)["ok"]


def test_description_of_everything(database: str) -> None:
    execute(
        database,
        "CREATE DOMAIN short AS varchar(8) DEFAULT 's' NOT NULL",
        "CREATE DOMAIN shorter AS short",
        "CREATE SEQUENCE free",
        "CREATE TABLE t (a shorter, b bigint DEFAULT nextval('free'), c smallserial, d numeric(7,3) DEFAULT 1.5,"
        " e timestamp(2) with time zone, f character(3), g text[], h int GENERATED ALWAYS AS (c + 1) STORED,"
        " i bigint GENERATED ALWAYS AS IDENTITY, j varchar, k interval(3), UNIQUE (a, b), UNIQUE NULLS NOT DISTINCT (j))",
        "CREATE UNIQUE INDEX part ON t (f) WHERE f <> ''",
        "CREATE UNIQUE INDEX expr ON t (lower(j))",
        "INSERT INTO t (a) VALUES ('x')",
    )
    [table] = described(database).tables
    shown = {c.name: (c.type, c.domain, c.not_null, c.default, c.sequence) for c in table.columns}
    assert shown["a"] == ("varchar(8)", "public.shorter", True, "'s'::character varying", None)
    assert shown["b"] == ("bigint", None, False, "nextval('public.free'::regclass)", "public.free")
    assert shown["c"][::2] == ("smallint", True, "public.t_c_seq")
    assert [c.type for c in table.columns[3:7]] == ["numeric(7,3)", "timestamptz(2)", "char(3)", "text[]"]
    assert (table.column("h").generated, table.column("h").default) == ("(c + 1)", None)
    assert (table.column("i").identity, table.column("i").sequence) == ("always", "public.t_i_seq")
    assert [c.type for c in table.columns[9:]] == ["varchar", "interval(3)"]
    assert [(key.columns, key.nulls_equal) for key in table.keys] == [(("a", "b"), False), (("j",), True)]
    assert (table.rows, table.owned, table.kind) == (1, True, "table")
