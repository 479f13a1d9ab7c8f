# SPDX-License-Identifier: GPL-3.0-or-later
"""The URL that was given for the application: does it lead to the same database and schema, with a role that can be kept from
writing?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import parse_qsl
from urllib.parse import quote as encoded

from ..errors import Finding, TargetError
from . import pooler
from .connect import connect, quote

#: What libpq itself understands of a URL's options, as far as applications give it.
_LIBPQ = {
    "host",
    "port",
    "user",
    "password",
    "dbname",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "channel_binding",
}
#: Options of other drivers that are a search path: JDBC's, and that of Go's pq and pgx.
_PATHS = ("currentSchema", "search_path")
_SAME = "SELECT extract(epoch FROM pg_postmaster_start_time())::text, current_database()::text"


def findings(connection: Any, url: str, user: str, schema: str) -> Iterator[Finding]:
    """What is wrong with it. ``connection`` is the owner's; ``url`` may lead through a pooler. schema: the plan's."""
    path = _given_path(url)
    url = _for_libpq(url)
    with connection.cursor() as cursor:
        cursor.execute(_SAME)
        owners = cursor.fetchone()
        cursor.execute(
            "SELECT rolname = current_user, rolsuper, pg_has_role(rolname, current_user, 'USAGE'),"
            " pg_has_role(rolname, 'pg_write_all_data', 'USAGE') FROM pg_roles WHERE rolname = %s",
            (_role(url, user),),
        )
        row = cursor.fetchone()
    try:
        shared = pooler.known(url) is not None or pooler.recognise(url).shares
        with closing(connect(url, autocommit=True, bare=True)) as theirs, theirs.cursor() as cursor:
            cursor.execute(_SAME)
            if cursor.fetchone() != owners:
                yield Finding(
                    "error",
                    "cutover_application_url leads to another database than cutover_target_url "
                    f"({pooler.place(url)[0]}): name the same one.",
                )
            cursor.execute(
                "SELECT current_user::text, current_database()::text, current_setting('search_path'),"
                " array(SELECT nspname::text FROM pg_namespace WHERE has_schema_privilege(oid, 'USAGE'))"
            )
            user, database, default, there = cursor.fetchone()
            used = first_schema(path or default, user, {*there, schema})
    except TargetError as error:
        text = error.message.replace("cutover_target_url", "cutover_application_url")
        yield Finding("error", f"the application could not log in: {text}")
        return
    if row is not None and any(row):
        reasons = (
            "is the one of cutover_target_url",
            "is a superuser",
            "has the owner's rights",
            "is in pg_write_all_data",
        )
        why = next(reason for reason, holds in zip(reasons, row) if holds)
        yield Finding(
            "error",
            f"role {user} of cutover_application_url {why}: it could write before the switch and after a way "
            "back, and nobody could "
            "take that from it. Give the application a role of its own.",
        )
    if used != schema:
        plain = schema if re.fullmatch("[a-z_][a-z0-9_]*", schema) else quote(schema)
        yield Finding(
            "warning",
            f"the application will not find its tables: its sessions look in {f'schema {used}' if used else 'no schema'} first "
            f"(search_path {path or default}), and the plan's are in schema {schema}. ALTER ROLE {quote(user)} IN DATABASE "
            f"{quote(database)} SET search_path TO {quote(schema)}; or name the schema in cutover_application_url: "
            f"?schema={encoded(schema)} for Prisma, ?options=-csearch_path%3D{encoded(plain)} for most others.",
        )
    if shared:
        yield Finding(
            "info",
            "the application goes through a pooler in transaction mode: its prepared statements, SET and "
            "advisory locks do not outlive a "
            "transaction. Prisma wants pgbouncer=true in its URL, other drivers prepared statements switched off.",
        )


def _for_libpq(url: str) -> str:
    """The URL without what is the application's affair: a driver's name in the scheme, and options of its own "
    "(pgbouncer=true)."""
    address, _, query = url.split("://", 1)[-1].partition("?")
    kept = "&".join(option for option in query.split("&") if option.split("=", 1)[0] in _LIBPQ)
    return f"postgresql://{address}{f'?{kept}' if kept else ''}"


def _role(url: str, user: str) -> str:
    """The role's name at the server: a platform's pooler has the project's name behind it."""
    if pooler.place(url)[0].endswith((".pooler.supabase.com", ".pooler.supabase.co")):
        return user.split(".", 1)[0]
    return user


def _given_path(url: str) -> str:
    """The search path that the URL itself asks for; '' where it leaves that to the role."""
    options = dict(parse_qsl(url.partition("?")[2]))
    if options.get("schema"):
        # Prisma takes it to the letter.
        return quote(options["schema"])
    for name in _PATHS:
        if options.get(name):
            return options[name]
    found = re.findall(r"(?:-c\s*|--)search_path=((?:\\.|\S)+)", options.get("options", ""))
    return re.sub(r"\\(.)", r"\1", found[-1]) if found else ""


def first_schema(path: str, user: str, there: set[str]) -> str:
    """The schema in which unqualified names are looked for first, of those that are there; '' where there is none."""
    for quoted, plain in re.findall(r'"((?:[^"]|"")*)"|([^\s,"]+)', path):
        name = quoted.replace('""', '"') if quoted else plain.lower()
        name = user if name == "$user" else name
        if name in there and name != "pg_catalog":
            return name
    return ""
