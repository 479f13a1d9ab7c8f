# SPDX-License-Identifier: GPL-3.0-or-later
"""A target that cannot be used: one message that says why and what to do, and never a password."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import quote

import psycopg2
import pytest

from conftest import MakeSqlite
from cutover.errors import Finding, TargetError
from cutover.own import own_schema
from cutover.target import catalog
from cutover.target.connect import Url, connect
from support.engine import POSITION, copy, create, migrate, planned
from support.independent import execute, fetch
from support.postgres import Cluster, Database, free_port

SECRET = "Zx9sesame"


def refusal(url: str) -> str:
    """What connecting says, and nothing of the password in it."""
    with pytest.raises(TargetError) as caught:
        connect(url)
    assert caught.value.__cause__ is None
    assert "\n" not in str(caught.value)
    return str(caught.value)


def other(url: str, database: str) -> str:
    """The URL of another database."""
    return f"{url.rsplit('/', 1)[0]}/{database}"


def preflight(url: str, size: int = 0, schema: str = "public") -> list[Finding]:
    with closing(connect(url, autocommit=True)) as connection:
        server = catalog.inspect(connection, schema)
        return catalog.findings(server, catalog.own_tables(connection, own_schema(schema)), size)


@pytest.fixture
def made(postgres: Cluster) -> Iterator[Database]:
    """A database and its owner."""
    database = postgres.create_database()
    try:
        yield database
    finally:
        postgres.drop_database(database)


def superuser(postgres: Cluster, *statements: str, database: str = "postgres") -> None:
    with closing(psycopg2.connect(postgres.superuser_url(database))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


# ---------------------------------------------------------------- connecting


def test_wrong_password_and_unknown_user(postgres: Cluster, made: Database) -> None:
    for user in (made.owner, "nobody_at_all"):
        said = refusal(postgres.url(user, SECRET, made.name))
        assert "PostgreSQL refuses the user or the password. Check cutover_target_url." in said
        assert said.startswith(f"postgresql://{user}@127.0.0.1:{postgres.port}/{made.name}: ")
        assert SECRET not in said


def test_database_that_does_not_exist(postgres: Cluster, made: Database) -> None:
    said = refusal(other(made.url, "no_such_database"))
    assert "this database does not exist. Create it, or let provision.yml do so." in said
    assert made.url.split(":")[2].split("@")[0] not in said


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid", "[::1]"])
def test_server_that_cannot_be_reached(host: str) -> None:
    said = refusal(f"postgresql://user:{SECRET}@{host}:{free_port()}/db")
    assert "PostgreSQL cannot be reached: is it running, and is host and port right?" in said
    assert SECRET not in said


def test_server_without_a_free_connection(postgres: Cluster, made: Database) -> None:
    superuser(postgres, f"ALTER ROLE {made.owner} CONNECTION LIMIT 0")
    assert "PostgreSQL has no free connection." in refusal(made.url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "cutover_target_url is empty"),
        ("mysql://user:Zx9sesame@host/db", "must begin with postgresql://"),
        ("/srv/Zx9sesame.sqlite", "must begin with postgresql://"),
        ("postgresql://user:Zx9sesame@host:port/db", "Its port must be a number"),
        ("postgresql://user:Zx9sesame@host:99999/db", "Its port must be a number"),
        ("postgresql://user:Zx9sesame@[::1/db", "cannot be read"),
    ],
)
def test_url_that_is_none(url: str, said: str) -> None:
    answer = refusal(url)
    assert said in answer
    assert SECRET not in answer


PASSWORDS = [
    "Zx9@sesame", "Zx9:sesame", "Zx9/sesame", "12/34sesame", "Zx9%sesame", "Zx9%40sesame", "Zx9%2", "Zx9'sesame", 'Zx9"sesame', "Zx9 sesame",
    "Zx9?sesame", "Zx9#sesame", "Zx9&sesame", "Zx9=sesame", "Zx9\\sesame", "Zx9+sesame", "Zx9[sesame", "Zx9]sesame", "@Zx9sesame@", "Zx9sesamé€",
]  # fmt: skip


@pytest.mark.parametrize("password", PASSWORDS)
def test_any_password_works_when_percent_encoded(postgres: Cluster, made: Database, password: str) -> None:
    with closing(psycopg2.connect(postgres.superuser_url())) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"ALTER ROLE {made.owner} PASSWORD %s", [password])
    url = postgres.url(made.owner, quote(password, safe=""), made.name)
    with closing(connect(url)) as connection:
        assert connection.info.user == made.owner
    said = refusal(other(url, "no_such_database"))
    assert not leaked(password, said)
    said = refusal(postgres.url(made.owner, quote(password + "x", safe=""), made.name))
    assert "refuses the user or the password" in said


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("form", ["postgresql://user:{}@{}:{}/db", "postgresql://{1}:{2}/db?user=x&password={0}"])
def test_no_part_of_a_password_shows_however_it_is_written(postgres: Cluster, password: str, form: str) -> None:
    url = form.format(password, "127.0.0.1", free_port())
    assert not leaked(password, refusal(url))
    assert not leaked(password, repr(Url(url)))


def leaked(password: str, said: str) -> bool:
    """Whether a telling part of the password shows."""
    parts = ("Zx9", "sesam", "34s", "12/")
    return any(part in said for part in parts if part in password)


# ---------------------------------------------------------------- preflight


def test_fit_database_has_no_findings(made: Database) -> None:
    assert preflight(made.url) == []


def test_database_that_is_not_empty(made: Database) -> None:
    execute(made.url, *(f"CREATE TABLE t{n} (x int)" for n in range(7)), "CREATE VIEW v AS SELECT 1 AS x")
    [finding] = preflight(made.url)
    assert finding.severity == "error"
    assert "is not empty: public.t0, public.t1, public.t2, public.t3, public.t4 and 3 more." in finding.message


def test_tables_of_the_migration_itself_do_not_count(make_sqlite: MakeSqlite, made: Database) -> None:
    create(made.url, planned(make_sqlite('CREATE TABLE "a b%c" (x)'))[0])
    assert preflight(made.url) == []
    execute(made.url, "CREATE TABLE other (x int)")
    [finding] = preflight(made.url)
    assert "is not empty: public.other. " in finding.message


def test_tables_of_an_extension_do_not_count(postgres: Cluster, made: Database) -> None:
    superuser(postgres, "CREATE EXTENSION pg_stat_statements", database=made.name)
    assert preflight(made.url) == []


def test_database_that_is_not_utf8(postgres: Cluster, made: Database) -> None:
    name = f"{made.name}_latin"
    superuser(
        postgres,
        f"CREATE DATABASE {name} OWNER {made.owner} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'",
    )
    try:
        [finding] = preflight(other(made.url, name))
        assert finding.message == f"database {name} has encoding LATIN1; create it with ENCODING 'UTF8'."
    finally:
        superuser(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def guest(postgres: Cluster, made: Database, *rights: str) -> Iterator[str]:
    """URL of another role in the database."""
    other = postgres.create_database()
    try:
        superuser(postgres, *(f"{right} TO {other.owner}" for right in rights), database=made.name)
        password = other.url.split(":")[2].split("@")[0]
        yield postgres.url(other.owner, password, made.name)
    finally:
        superuser(postgres, f"DROP OWNED BY {other.owner}", database=made.name)
        postgres.drop_database(other)


def test_role_that_may_not_create(make_sqlite: MakeSqlite, postgres: Cluster, made: Database) -> None:
    plan, _ = planned(make_sqlite("CREATE TABLE t (x)"))
    with guest(postgres, made) as url:
        messages = [finding.message for finding in preflight(url)]
        assert any(
            "may not create schemas" in message and "GRANT CREATE ON DATABASE" in message for message in messages
        )
        with pytest.raises(TargetError, match=r"The tables cannot be created: permission denied .*lacks a privilege"):
            create(url, plan)


def test_role_that_may_create_schemas_but_no_tables(make_sqlite: MakeSqlite, postgres: Cluster, made: Database) -> None:
    plan, _ = planned(make_sqlite("CREATE TABLE t (x)"))
    with guest(postgres, made, f"GRANT CREATE ON DATABASE {made.name}") as url:
        [finding] = preflight(url)
        assert "may not create tables in schema public" in finding.message
        with pytest.raises(TargetError, match="permission denied for schema public"):
            create(url, plan)
        # A schema of its own it may make.
        assert preflight(url, schema="shop") == []
        create(url, planned(make_sqlite("CREATE TABLE t (x)"), {"schema": "shop"})[0])


def test_disk_that_is_too_small(postgres: Cluster, made: Database) -> None:
    url = postgres.superuser_url(made.name)
    [finding] = preflight(url, 1 << 60)
    assert "MiB free" in finding.message
    # Who may not ask where the data is, cannot be told.
    assert preflight(made.url, 1 << 60) == []


def test_database_that_is_read_only(make_sqlite: MakeSqlite, postgres: Cluster, made: Database) -> None:
    superuser(postgres, f"ALTER DATABASE {made.name} SET default_transaction_read_only = on")
    plan, _ = planned(make_sqlite("CREATE TABLE t (x)"))
    with pytest.raises(TargetError, match="The target is read-only"):
        create(made.url, plan)


def test_sessions_do_not_depend_on_what_role_and_database_are_set_to(
    make_sqlite: MakeSqlite, postgres: Cluster, made: Database
) -> None:
    settings = {
        "statement_timeout": "'2ms'", "lock_timeout": "'1ms'", "idle_in_transaction_session_timeout": "'1ms'", "search_path": "nowhere",
        "datestyle": "'German'", "timezone": "'Asia/Kathmandu'", "bytea_output": "escape", "extra_float_digits": "-15", "client_encoding": "LATIN1",
        "standard_conforming_strings": "off", "intervalstyle": "sql_standard", "default_transaction_isolation": "serializable",
    }  # fmt: skip
    superuser(postgres, *(f"ALTER ROLE {made.owner} SET {name} = {value}" for name, value in settings.items()))
    path = make_sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, r REAL, b BLOB, at DATETIME, x TEXT DEFAULT 'a\\b'); INSERT INTO t VALUES "
        "(1, 0.1, x'00ff5c', '2024-02-01 10:00:00', 'é\\'), (2, 1e300, x'', '2024-12-31 23:59:59.5', '')"
    )
    assert migrate(path, made.url).verified["ok"]
    execute(postgres.superuser_url(made.name), "INSERT INTO t (r) VALUES (1)")
    assert fetch(postgres.superuser_url(made.name), "SELECT x FROM t WHERE id = 3") == [("a\\b",)]


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("53100", "The target's disk is full: free space or enlarge it, then run again; what is copied stays copied."),
        ("53200", "PostgreSQL ran out of memory."),
        ("57014", "PostgreSQL cancelled the statement."),
        ("P0001", ""),
    ],
)
def test_error_in_the_middle_of_a_copy_is_one_message(
    make_sqlite: MakeSqlite, made: Database, code: str, hint: str
) -> None:
    path = make_sqlite("CREATE TABLE t (x INT); INSERT INTO t VALUES (1)")
    plan, _ = planned(path)
    create(made.url, plan)
    execute(
        made.url,
        "CREATE FUNCTION pgcutover.fail() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION 'no more' USING ERRCODE = '{code}'; END $$",
        "CREATE TRIGGER fail BEFORE UPDATE ON pgcutover.ranges FOR EACH ROW EXECUTE FUNCTION pgcutover.fail()",
    )
    with pytest.raises(TargetError) as caught:
        copy(path, made.url, plan, POSITION)
    assert str(caught.value) == f"table t, range 0: no more. {hint}".rstrip()
