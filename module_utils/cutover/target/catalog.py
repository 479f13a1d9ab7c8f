# SPDX-License-Identifier: GPL-3.0-or-later
"""What PostgreSQL says of itself: version, encoding, privileges, space, and what is already in the database."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import Finding
from ..own import is_kept, of_others, own_schema
from .connect import qualified
from .mine import elsewhere, of_elsewhere

OLDEST = 150000
#: Indexes and write-ahead log on top of the rows, as a multiple of the source's size.
_SPACE_FACTOR = 2.5


@dataclass(frozen=True)
class Server:
    """Facts about the target. free_bytes is None where the data directory is not on this machine.

    may_create: schemas; may_fill: tables in the schema that the plan names (true while that is not there yet).
    tables: what is there beside the migration's own, in that schema alone where the plan names one, because then the database
    may be shared. elsewhere: the schema in which the record of this migration lies, where the plan leads to another.
    """

    server_version: str
    version_number: int
    encoding: str
    database: str
    user: str
    may_create: bool
    schema: str
    may_fill: bool
    read_only: bool
    tables: tuple[str, ...]
    elsewhere: str
    free_bytes: int | None
    host: str
    port: int

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the report."""
        return asdict(self)


def inspect(connection: Any, schema: str = "public", name: str = "") -> Server:
    """Read the facts. schema: the plan's. name: of the migration, if there is one yet.

    The connection is in autocommit or in a transaction that may be rolled back.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('server_version'), current_setting('server_version_num')::int,"
            " current_setting('server_encoding'), current_database(), current_user::text,"
            " has_database_privilege(current_database(), 'CREATE'), pg_is_in_recovery(), coalesce("
            "(SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = %s), true)",
            (schema,),
        )
        version, number, encoding, database, user, may_create, recovery, may_fill = cursor.fetchone()
        cursor.execute(
            "SELECT format('%I.%I', n.nspname, c.relname), n.nspname FROM pg_class c JOIN pg_namespace n"
            " ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')"
            " AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
            " AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp%'"
            " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid"
            " AND d.deptype = 'e') ORDER BY 1"
        )
        relations = cursor.fetchall()
        cursor.execute("SELECT nspname FROM pg_namespace")
        others = of_others([name for (name,) in cursor.fetchall()], schema)
        tables = tuple(name for name, of in relations if _counts(of, schema, others))
        found = elsewhere(cursor, schema, name) if name else ""
        cursor.execute(
            "SELECT CASE WHEN pg_has_role(current_user, 'pg_read_all_settings', 'MEMBER')"
            " THEN current_setting('data_directory', true) END"
        )
        directory = cursor.fetchone()[0]
    parameters = connection.get_dsn_parameters()
    local = parameters.get("host", "").startswith("/") or parameters.get("host") in (
        None,
        "",
        "localhost",
        "127.0.0.1",
        "::1",
    )
    free = shutil.disk_usage(directory).free if local and directory and os.path.isdir(directory) else None
    return Server(
        version,
        number,
        encoding,
        database,
        user,
        bool(may_create),
        schema,
        bool(may_fill),
        bool(recovery),
        tables,
        found,
        free,
        parameters.get("host", "") or "localhost",
        int(parameters.get("port", 5432)),
    )


def _counts(of: str, schema: str, others: frozenset[str]) -> bool:
    """Whether a relation in the schema ``of`` keeps a database from being empty for a migration into ``schema``."""
    if schema != "public":
        return of == schema
    return of != own_schema(schema) and not is_kept(of, schema) and of not in others


def own_tables(connection: Any, own: str) -> tuple[str, ...]:
    """The tables that the migration itself created here, as ``schema.name`` in the form of ``Server.tables``."""
    tables = qualified(own, "tables")
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", (tables,))
        if cursor.fetchone()[0] is None:
            return ()
        cursor.execute(f"SELECT format('%I.%I', schema_name, table_name) FROM {tables} ORDER BY 1")
        return tuple(row[0] for row in cursor.fetchall())


def _place(server: Server) -> str:
    where = "" if server.schema == "public" else f"schema {server.schema} of "
    return f"{where}database {server.database}"


def _other(server: Server) -> str:
    if server.schema == "public":
        return "an empty database, or a schema of its own (cutover_plan_overrides.schema)"
    return "another schema"


def too_old(version: str) -> str:
    """The message that refuses a version."""
    return f"PostgreSQL is version {version}; 15 or newer is needed. Upgrade the target."


def findings(server: Server, own: tuple[str, ...], source_bytes: int, empty: bool = True) -> list[Finding]:
    """What of the target stands in the way of a migration. empty: whether it must hold no tables of others."""
    found: list[Finding] = []
    if server.version_number < OLDEST:
        found.append(
            Finding(
                "error",
                too_old(server.server_version),
            )
        )
    if server.encoding != "UTF8":
        found.append(
            Finding(
                "error",
                f"database {server.database} has encoding {server.encoding}; create it with ENCODING 'UTF8'.",
            )
        )
    if server.read_only:
        found.append(Finding("error", "PostgreSQL is a replica (in recovery) and cannot be written. Name the primary."))
    if not server.may_create:
        found.append(
            Finding(
                "error",
                f"role {server.user} may not create schemas in {server.database}: GRANT CREATE ON DATABASE.",
            )
        )
    if not server.may_fill and empty:
        found.append(
            Finding(
                "error",
                f"role {server.user} may not create tables in schema {server.schema}: GRANT CREATE ON SCHEMA, or make the "
                "role the owner of the database.",
            )
        )
    if server.elsewhere:
        found.append(Finding("error", of_elsewhere(server.elsewhere, server.schema)))
    foreign = [table for table in server.tables if table not in own]
    if foreign and empty and not server.elsewhere:
        shown = ", ".join(foreign[:5]) + (f" and {len(foreign) - 5} more" if len(foreign) > 5 else "")
        found.append(
            Finding(
                "error",
                f"{_place(server)} is not empty: {shown}. Name {_other(server)}, or drop what is not needed; "
                "pg-cutover never drops what it did not create.",
            )
        )
    needed = int(source_bytes * _SPACE_FACTOR)
    if server.free_bytes is not None and server.free_bytes < needed:
        found.append(
            Finding(
                "error",
                f"the target's disk has {server.free_bytes // 2**20} MiB free; about {needed // 2**20} MiB are needed "
                "for rows, indexes and write-ahead log.",
            )
        )
    return found
