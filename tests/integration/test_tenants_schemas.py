# SPDX-License-Identifier: GPL-3.0-or-later
"""Several migrations in schemas of one database: what one does, the others do not notice."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg2
import pytest

from conftest import MakeSqlite
from cutover import access, ddl
from cutover.access import close_access
from cutover.errors import Finding, Refused, TargetError
from cutover.existing import undo as existing_undo
from cutover.own import own_schema
from cutover.plan.model import Plan
from cutover.reverse import capture
from cutover.target import application, catalog
from cutover.target.connect import connect, qualified, quote
from support import engine, existing
from support.independent import execute, fetch
from support.postgres import Cluster, Database
from support.reverse import Switched, application_role, switch
from support.switching import Load, follow_ready, stage

SCHEMA = """
CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE child (parent INTEGER NOT NULL REFERENCES parent ON DELETE CASCADE, x REAL NOT NULL, PRIMARY KEY (parent, x));
INSERT INTO parent VALUES (1, 'a'), (2, 'b'), (3, 'c');
INSERT INTO child VALUES (1, 0.1), (2, 1e-7);
CREATE VIEW names AS SELECT name FROM parent WHERE name LIKE 'a%';
"""
#: The second is named as nobody should name a schema.
ONE, OTHER = "acme", 'Globex "co" 100%\'s $1'
#: Of the migrations.
NAMES = {ONE: "one", OTHER: "other", "globex": "third"}


@dataclass
class Both:
    """Two applications that were switched into schemas of one database."""

    url: str
    one: Switched
    other: Switched


@pytest.fixture
def both(postgres: Cluster, make_sqlite: MakeSqlite, database: str) -> Both:
    made = [
        switch(postgres, make_sqlite(SCHEMA), database, {"schema": schema}, name=name)
        for schema, name in [*NAMES.items()][:2]
    ]
    return Both(database, *made)


def table(of: Switched, name: str = "parent") -> str:
    """A table of an application, by its whole name."""
    return qualified(of.plan.schema, name)


@dataclass
class Writing:
    """An application that writes all the time. written: how often; failed: why not."""

    of: Switched
    written: int = 0
    failed: list[str] = field(default_factory=list)

    def more(self, number: int = 5) -> None:
        """Wait for so many more writes."""
        until, wanted = time.monotonic() + 20, self.written + number
        while self.written < wanted:
            assert not self.failed
            assert time.monotonic() < until, "the application waits"
            time.sleep(0.01)


@contextmanager
def writing(of: Switched) -> Iterator[Writing]:
    """An application at work; no write of it may fail or wait for a second."""
    told, ended = Writing(of), threading.Event()

    def work() -> None:
        with closing(psycopg2.connect(of.app)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SET statement_timeout TO '1s'")
                while not ended.is_set():
                    try:
                        cursor.execute(f"INSERT INTO {table(of)} (name) VALUES ('more')")
                        told.written += 1
                    except psycopg2.Error as error:
                        told.failed.append(str(error))
                        return
                    time.sleep(0.002)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield told
        told.more()
    finally:
        ended.set()
        thread.join(10)
    assert not told.failed


def preflight(url: str, schema: str, name: str = "") -> list[Finding]:
    with closing(connect(url, autocommit=True)) as connection:
        found = catalog.inspect(connection, schema, name or NAMES.get(schema, "test"))
        return catalog.findings(found, catalog.own_tables(connection, own_schema(schema)), 0)


def schemas(url: str) -> set[str]:
    """The migrations' own schemas."""
    return {name for (name,) in fetch(url, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'pgcutover%'")}


# ---------------------------------------------------------------- beside each other


def test_both_carry_back_what_is_theirs(both: Both) -> None:
    both.one.run(
        f"UPDATE {table(both.one)} SET name = 'one' WHERE id = 1", f"DELETE FROM {table(both.one)} WHERE id = 2"
    )
    both.other.run(f"INSERT INTO {table(both.other)} (name) VALUES ('other')")
    assert (both.one.waiting(), both.other.waiting()) == (3, 1)
    both.one.assert_equal()
    assert both.other.waiting() == 1
    both.other.assert_equal()
    assert both.one.read("SELECT name FROM parent ORDER BY id") == [("one",), ("c",)]
    assert both.other.read("SELECT name FROM parent ORDER BY id") == [("a",), ("b",), ("c",), ("other",)]


def test_neither_role_sees_the_other_application_nor_a_migration(both: Both) -> None:
    for mine, theirs in ((both.one, both.other), (both.other, both.one)):
        outbox = qualified(mine.plan.own, "outbox")
        for refused in (f"SELECT * FROM {table(theirs)}", f"SELECT * FROM {outbox}"):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                mine.run(refused)


def test_one_goes_back_while_the_other_writes(both: Both) -> None:
    with writing(both.other) as load:
        both.one.run(f"INSERT INTO {table(both.one)} (name) VALUES ('last')")
        with closing(connect(both.url)) as connection:
            assert close_access(connection, both.one.plan)
            assert close_access(connection, both.one.plan) == []
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            both.one.run(f"INSERT INTO {table(both.one)} (name) VALUES ('late')")
        assert both.one.replay().written == 1
        load.more()
    with closing(connect(both.url)) as connection, connection.cursor() as cursor:
        assert access.role_in_use(cursor, both.one.plan) is None
        assert access.role_in_use(cursor, both.other.plan) is not None
    with closing(connect(both.url)) as connection:
        counted = access.read_access(connection, OTHER, "other")
        assert counted["in_use_since"]
        assert access.read_access(connection, ONE, "one")["in_use_since"] == ""
    both.one.assert_equal()
    both.other.assert_equal()


def test_one_is_finalized_while_the_other_writes(both: Both) -> None:
    with writing(both.other) as load:
        with closing(connect(both.url)) as connection:
            assert len(capture.remove(connection, ONE, "one")) == len(both.one.plan.tables) + 2
        with closing(connect(both.url, autocommit=True)) as connection:
            assert ddl.drop_own(connection, ONE, "one") == ['DROP SCHEMA "pgcutover_for_acme" CASCADE']
        load.more()
    assert schemas(both.url) == {both.other.plan.own}
    both.one.run(f"INSERT INTO {table(both.one)} (name) VALUES ('goes on')")
    both.other.assert_equal()
    with closing(connect(both.url)) as connection, connection.cursor() as cursor:
        assert capture.problems(cursor, both.other.plan) == []


def test_locks_of_one_do_not_stop_the_other(
    make_sqlite: MakeSqlite, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=15s")
    path = make_sqlite(SCHEMA)
    plan, _ = engine.planned(path, {"schema": ONE}, "one")
    other, _ = engine.planned(path, {"schema": "globex"}, "third")
    engine.create(database, other)
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        for name in (other.own, f"{other.own}.sessions"):
            cursor.execute("SELECT pg_advisory_lock(hashtext(%s))", (name,))
        cursor.execute(
            f"LOCK TABLE {qualified(other.own, 'migration')}, {qualified(other.own, 'copy')} IN EXCLUSIVE MODE"
        )
        engine.create(database, plan)
        engine.copy(path, database, plan)
        engine.finish(path, database, plan)
        assert engine.verify(path, database, plan)["ok"]


def test_owners_may_be_others(postgres: Cluster, make_sqlite: MakeSqlite, database: str) -> None:
    """Each migration by a role of its own, which may not look into what the others keep."""
    path = make_sqlite(SCHEMA)
    assert engine.migrate(path, database).verified["ok"]
    owners = []
    for schema in (ONE, "globex"):
        role, url = application_role(postgres, database)
        owners.append((schema, url))
        execute(postgres.superuser_url(), f"GRANT CREATE ON DATABASE {database.rpartition('/')[2]} TO {role}")
        assert preflight(url, schema) == []
        assert engine.migrate(path, url, {"schema": schema}, name=NAMES[schema]).verified["ok"]
        assert preflight(url, schema) == []
    assert preflight(database, "public") == []
    for schema, url in owners:
        with closing(connect(url, autocommit=True)) as connection:
            assert len(ddl.drop_own(connection, schema, NAMES[schema])) == 1
            assert ddl.drop_own(connection, schema, NAMES[schema]) == []
    assert schemas(database) == {"pgcutover"}


def test_keys_that_become_uuids(postgres: Cluster, make_sqlite: MakeSqlite, database: str) -> None:
    one, other = (
        switch(postgres, make_sqlite(SCHEMA), database, {"schema": schema}, "uuid", name=name)
        for schema, name in [*NAMES.items()][:2]
    )
    for switched in (one, other):
        switched.run(
            f"INSERT INTO {table(switched)} (id, name) VALUES (gen_random_uuid(), 'new')",
            f"DELETE FROM {table(switched)} WHERE name = 'a'",
        )
    assert one.replay().logged == 3
    assert other.waiting() == 3
    assert other.replay().logged == 3
    one.assert_equal()
    other.assert_equal()
    assert other.read("SELECT id, name FROM parent ORDER BY id") == [(2, "b"), (3, "c"), (4, "new")]


def test_quarantines_are_apart(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO t VALUES (1, 1), (2, 'none')")
    for schema in (ONE, OTHER):
        overrides = {"schema": schema, "tables": {"t": {"columns": {"n": {"refused": "quarantine"}}}}}
        assert engine.migrate(path, database, overrides, name=NAMES[schema]).verified["ok"]
    with closing(connect(database, autocommit=True)) as connection:
        with pytest.raises(Refused, match=r"1 rows of 1 tables are in quarantine \(pgcutover_for_acme\.quarantine\)"):
            ddl.drop_own(connection, ONE, "one")
        ddl.drop_own(connection, ONE, "one", False, "keep")
    assert schemas(database) == {own_schema(OTHER), "pgcutover_quarantine_for_acme_1"}
    assert fetch(database, "SELECT key FROM pgcutover_quarantine_for_acme_1.quarantine") == [("id=2",)]
    assert preflight(database, "initech") == []


# ---------------------------------------------------------------- the same schema, an empty one


def test_a_schema_holds_one_migration(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(SCHEMA)
    engine.create(database, engine.planned(path, {"schema": ONE}, "first")[0])
    with pytest.raises(TargetError, match="holds the migration first into schema acme, not 'second'"):
        engine.create(database, engine.planned(path, {"schema": ONE}, "second")[0])
    with pytest.raises(TargetError, match=r"a schema of its own \(cutover_plan_overrides\.schema\)"):
        engine.create(database, engine.planned(path, {"schema": ONE}, "third")[0])


def test_only_its_own_schema_has_to_be_empty(both: Both) -> None:
    execute(both.url, "CREATE TABLE stranger (a int)", "CREATE SCHEMA full_of", "CREATE TABLE full_of.things (a int)")
    assert preflight(both.url, "initech") == []
    assert preflight(both.url, ONE) == []
    [finding] = preflight(both.url, "full_of")
    assert finding.message.startswith("schema full_of of database")
    assert "is not empty: full_of.things. Name another schema" in finding.message
    [finding] = preflight(both.url, "public")
    assert (
        "is not empty: full_of.things, public.stranger. Name an empty database, or a schema of its own"
        in finding.message
    )


def test_public_is_moved_beside_schemas(both: Both, make_sqlite: MakeSqlite) -> None:
    assert preflight(both.url, "public") == []
    path = make_sqlite(SCHEMA)
    done = engine.migrate(path, both.url)
    assert done.verified["ok"]
    assert preflight(both.url, "public") == []
    with closing(connect(both.url, autocommit=True)) as connection:
        assert ddl.drop_own(connection, "public", "test") == ['DROP SCHEMA "pgcutover" CASCADE']
    assert schemas(both.url) == {both.one.plan.own, both.other.plan.own}
    both.one.assert_equal()


def test_kept_tables_are_told_apart(both: Both) -> None:
    for switched in (both.one, both.other):
        with closing(connect(both.url)) as connection:
            close_access(connection, switched.plan)
            capture.remove(connection, switched.plan.schema, switched.plan.name)
        engine.copy(switched.source, both.url, switched.plan, position="anew", replace=True)
    [kept] = [name for name in schemas(both.url) if name.startswith("pgcutover_kept_for_Globex")]
    assert schemas(both.url) == {both.one.plan.own, both.other.plan.own, "pgcutover_kept_for_acme_1", kept}
    assert preflight(both.url, "public") == []
    with closing(connect(both.url, autocommit=True)) as connection:
        assert len(ddl.drop_own(connection, OTHER, "other")) == 2
    assert schemas(both.url) == {both.one.plan.own, "pgcutover_kept_for_acme_1"}
    assert fetch(both.url, "SELECT count(*) FROM pgcutover_kept_for_acme_1.parent") == [(3,)]
    with closing(connect(both.url, autocommit=True)) as connection:
        assert len(ddl.drop_own(connection, ONE, "one")) == 2
    assert schemas(both.url) == set()


def test_tables_that_exist_in_schemas(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(SCHEMA)
    for schema in (ONE, "globex"):
        execute(
            database,
            f"CREATE SCHEMA {schema}",
            f"CREATE TABLE {schema}.parent (id bigint PRIMARY KEY, name text)",
            f"CREATE TABLE {schema}.child (parent bigint NOT NULL REFERENCES {schema}.parent, x float8 NOT NULL,"
            " PRIMARY KEY (parent, x))",
        )
        assert existing.migrate(path, database, {"schema": schema}, NAMES[schema]).verified["ok"]
    plan, _ = existing.planned(path, database, {"schema": ONE}, "one")
    engine.copy(path, database, plan, position="anew", replace=True)
    assert fetch(database, "SELECT count(*) FROM pg_constraint WHERE contype = 'f'") == [(1,)]
    assert existing.undo(database, "globex", "third") == []
    assert existing.undo(database, ONE, "one")
    assert fetch(database, "SELECT count(*) FROM pg_constraint WHERE contype = 'f'") == [(2,)]
    assert fetch(database, f"SELECT (SELECT count(*) FROM {ONE}.parent), (SELECT count(*) FROM globex.parent)") == [
        (0, 3)
    ]


# ---------------------------------------------------------------- a schema that is named by mistake


def refused(database: str, plan: Plan, error: type[Exception], said: str) -> None:
    """Nothing is closed, dropped or made by a plan that leads to another's record, or past its own."""
    with closing(connect(database)) as connection:
        for ask in (
            lambda: ddl.drop_own(connection, plan.schema, plan.name),
            lambda: capture.install(connection, plan),
            lambda: close_access(connection, plan),
            lambda: access.read_access(connection, plan.schema, plan.name),
            lambda: ddl.create_tables(connection, plan, replace=True),
        ):
            with pytest.raises(error, match=said):
                ask()


def test_a_schema_of_another_is_left_alone(both: Both) -> None:
    wrong = replace(both.one.plan, schema=OTHER)
    refused(both.url, wrong, TargetError, "holds the migration other into schema Globex")
    with closing(connect(both.url)) as connection:
        assert capture.remove(connection, OTHER, "one") == []
    assert existing.undo(both.url, OTHER, "one") == []
    with pytest.raises(TargetError, match="holds the migration other into schema Globex"):
        engine.copy(both.one.source, both.url, wrong, replace=True)
    both.one.assert_equal()
    both.other.assert_equal()


def test_a_schema_that_was_another_when_it_began_is_told(both: Both) -> None:
    moved = replace(both.one.plan, schema="initech")
    refused(both.url, moved, Refused, "the record of this migration lies in schema pgcutover_for_acme of the database")
    with closing(connect(both.url)) as connection:
        for undo in (capture.remove, existing_undo):
            with pytest.raises(Refused, match="lies in schema pgcutover_for_acme"):
                undo(connection, "initech", "one")
    [finding] = preflight(both.url, "initech", "one")
    assert finding.message.startswith("the record of this migration lies in schema pgcutover_for_acme")
    both.one.assert_equal()


def test_a_migration_that_version_0_1_began_is_not_taken_for_none(make_sqlite: MakeSqlite, database: str) -> None:
    plan = engine.migrate(make_sqlite(SCHEMA), database, {"schema": ONE}, name="one").plan
    execute(database, f"ALTER SCHEMA {quote(plan.own)} RENAME TO pgcutover")
    [finding] = preflight(database, ONE)
    assert "or version 0.1 began it, which kept all records in pgcutover." in finding.message
    assert preflight(database, "globex") == []
    refused(database, plan, Refused, "lies in schema pgcutover of the database")
    assert fetch(database, f"SELECT count(*) FROM {ONE}.parent") == [(3,)]


# ---------------------------------------------------------------- the application finds its tables


@pytest.mark.parametrize(
    ("setting", "options", "said"),
    [
        (None, "", "look in schema public first"),
        (None, "?schema=acme", None),
        (None, "?schema=Acme", "look in no schema first"),
        (None, "?options=-csearch_path%3Dacme%2Cpublic", None),
        (None, "?options=-c%20statement_timeout%3D5s%20-c%20search_path%3Dacme", None),
        (None, "?currentSchema=acme", None),
        ("acme", "", None),
        ("ACME", "", None),
        ('"$user", "acme"', "", None),
        ("public, acme", "", "look in schema public first"),
        ("acme", "?schema=public", "look in schema public first"),
    ],
)
def test_where_the_application_looks_for_its_tables(
    postgres: Cluster, database: str, setting: str | None, options: str, said: str | None
) -> None:
    role, url = application_role(postgres, database)
    if setting:
        name = database.rpartition("/")[2]
        execute(postgres.superuser_url(), f"ALTER ROLE {role} IN DATABASE {name} SET search_path TO {setting}")
    with closing(connect(database, autocommit=True)) as connection:
        found = [f for f in application.findings(connection, url + options, role, "acme") if f.severity == "warning"]
    assert [said in finding.message for finding in found] == ([True] if said else [])
    for finding in found:
        assert f'ALTER ROLE "{role}" IN DATABASE' in finding.message


# ---------------------------------------------------------------- switched while the application serves


def test_one_is_switched_there_and_back_while_the_other_writes(
    tmp_path: Path, postgres: Cluster, make_sqlite: MakeSqlite
) -> None:
    tmp_path.chmod(0o755)
    database = postgres.create_database()
    other = switch(postgres, make_sqlite(SCHEMA), database.url, {"schema": "globex"}, name="third")

    def prepare(source: Path, folder: Path, database: Database) -> Plan:
        return follow_ready(source, folder, database, {"schema": ONE})

    with stage(tmp_path, postgres, database, prepare) as ready, writing(other) as undisturbed:
        with Load(ready.proxy.port) as load:
            time.sleep(0.3)
            told = ready.run("forward")
            assert told["direction"] == "forward", told
            assert told["verified"]["ok"], told["verified"]
            assert ready.writable() == ["postgresql"]
            undisturbed.more()
            time.sleep(0.3)
            told = ready.run("back")
            assert told["direction"] == "back", told
            undisturbed.more()
        assert (load.failed, load.unread) == ([], [])
        assert ready.writable() == ["sqlite"]
        assert load.acknowledged - ready.ids() == set()
    other.assert_equal()
    with contextlib.suppress(psycopg2.Error):
        postgres.drop_database(database)
