# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role may do at the target, and whether there are connections enough: everything that a platform may limit.

What ``catalog`` asks (version, encoding, CREATE, a replica, what is in the database) is not asked again here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import CutoverError, Finding, TargetError
from . import application, pooler
from .catalog import OLDEST, too_old
from .connect import connect, first_line, quote
from .limits import Limits, Use, read_limits
from .limits import findings as of_limits


@dataclass(frozen=True)
class Capabilities:
    """What the role may do. tls: '' where the connection is not encrypted. between: what stands in between, see pooler."""

    user: str
    superuser: bool
    create_role: bool
    create_database: bool
    owns_database: bool
    replication_role: bool
    read_only: str
    tls: str
    sslmode: str
    between: str
    version_number: int
    installed: tuple[str, ...]
    installable: tuple[str, ...]
    refused_extensions: tuple[str, ...]
    application_user_exists: bool
    limits: Limits

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the report."""
        return asdict(self)


def look(url: str, use: Use, schema: str = "public") -> tuple[dict[str, Any], list[Finding]]:
    """What was found, as plain data and as findings. Nothing is changed. {} where a finding kept it from looking further.

    schema: the plan's.
    """
    refused = pooler.refusal(url, None)
    if refused:
        # It is known by its name; asking would only leave settings behind in sessions of others.
        return {}, [Finding("error", refused)]
    try:
        between = pooler.recognise(url)
        refused = pooler.refusal(url, between)
        if refused:
            return {}, [Finding("error", refused)]
        with closing(connect(url, autocommit=True)) as connection:
            if connection.server_version < OLDEST:
                return {}, [Finding("error", too_old(connection.info.parameter_status("server_version")))]
            try:
                capable = _read(connection, use, between)
            except connection.Error as error:
                raise TargetError(f"PostgreSQL does not tell what the role may do: {first_line(error)}.") from None
            found = [*findings(capable, use, url), *told(capable, url)]
            if use.application_url:
                found += application.findings(connection, use.application_url, use.application_user, schema)
    except CutoverError as error:
        return {}, [Finding("error", error.message)]
    if between.mode == pooler.SESSION:
        found += _through_a_pooler(url, use, between)
    order = ("error", "warning", "info")
    return capable.as_dict(), sorted(found, key=lambda finding: order.index(finding.severity))


def _read(connection: Any, use: Use, between: pooler.Between) -> Capabilities:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolname::text, rolsuper, rolcreaterole, rolcreatedb,"
            " (SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()),"
            " current_setting('server_version_num')::int, EXISTS (SELECT FROM pg_roles WHERE rolname = %s)"
            " FROM pg_roles WHERE rolname = current_user",
            (use.application_user,),
        )
        user, superuser, create_role, create_database, owns, version, user_exists = cursor.fetchone()
        cursor.execute(
            "SELECT e.name::text, e.installed_version IS NOT NULL, v.trusted AND "
            "has_database_privilege(current_database(), 'CREATE')"
            " FROM pg_available_extensions e JOIN pg_available_extension_versions v"
            " ON v.name = e.name AND v.version = e.default_version ORDER BY 1"
        )
        extensions = cursor.fetchall()
        limits = read_limits(cursor, use.application_user)
        read_only = _read_only(cursor)
    there = tuple(name for name, installed, _ in extensions if installed)
    refused = tuple(
        name
        for name in use.extensions
        if name not in there
        and not _may(connection, "SET LOCAL search_path = public", f"CREATE EXTENSION {quote(name)} CASCADE")
    )
    info = connection.info
    tls = f"{info.ssl_attribute('protocol')}, {info.ssl_attribute('cipher')}" if info.ssl_in_use else ""
    return Capabilities(
        user=user,
        superuser=superuser,
        create_role=create_role,
        create_database=create_database,
        owns_database=bool(owns),
        replication_role=_may(connection, "SET LOCAL session_replication_role = replica"),
        read_only=read_only,
        tls=tls,
        sslmode=info.dsn_parameters.get("sslmode", "prefer"),
        between=between.mode,
        version_number=version,
        installed=there,
        installable=tuple(name for name, installed, trusted in extensions if not installed and (superuser or trusted)),
        refused_extensions=refused,
        application_user_exists=user_exists,
        limits=limits,
    )


def _read_only(cursor: Any) -> str:
    """By what sessions are read-only from their start; '' where they are not, or because the server is a replica."""
    cursor.execute(
        "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')::boolean, current_user::text,"
        " current_database()::text"
    )
    replica, read_only, user, database = cursor.fetchone()
    if replica or not read_only:
        return ""
    cursor.execute(
        "SELECT setrole <> 0, setdatabase <> 0 FROM pg_db_role_setting s"
        " WHERE (setrole = 0 OR setrole = (SELECT oid FROM pg_roles WHERE rolname = current_user))"
        " AND (setdatabase = 0 OR setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()))"
        " AND EXISTS (SELECT FROM unnest(setconfig) one WHERE one LIKE 'default_transaction_read_only=%')"
        " ORDER BY 1 DESC, 2 DESC LIMIT 1"
    )
    row = cursor.fetchone()
    if row is None:
        return "by the server's settings (ALTER SYSTEM, or the platform's; a full disk makes some platforms do so)"
    role, in_database = row
    if role and in_database:
        return f"by ALTER ROLE {user} IN DATABASE {database}"
    return f"by ALTER {f'ROLE {user}' if role else f'DATABASE {database}'} SET default_transaction_read_only"


def _may(connection: Any, *statements: str) -> bool:
    """Tried and taken back, not asked: platforms let their own roles do things by other means than a privilege."""
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        try:
            for statement in ("SET LOCAL lock_timeout = '2s'", *statements):
                cursor.execute(statement)
        except connection.Error:
            return False
        finally:
            if not connection.closed:
                cursor.execute("ROLLBACK")
    return True


def findings(of: Capabilities, use: Use, url: str) -> Iterator[Finding]:
    """What of it stands in the way."""
    if of.read_only:
        yield Finding(
            "error",
            f"sessions of role {of.user} are read-only, {of.read_only}: a migration writes. Take that setting "
            "back, or name a role "
            "that may write.",
        )
    if use.make_user and not of.application_user_exists:
        # Neon creates roles itself and wants to see the password.
        if re.search(r"\.neon\.(tech|build)$", pooler.place(url)[0]):
            yield Finding(
                "error",
                f"Neon takes no verifier in place of a password, so role {use.application_user} cannot be created "
                "from here. Create it "
                "there (CREATE ROLE … LOGIN PASSWORD …) and give its URL as cutover_application_url.",
            )
        elif not (of.superuser or of.create_role):
            yield Finding(
                "error",
                f"the database has no role {use.application_user} for the application, and {of.user} may not "
                "create one. Create it "
                f"(CREATE ROLE … LOGIN PASSWORD …) and give its URL as cutover_application_url, or give {of.user} the attribute "
                "CREATEROLE.",
            )
    if of.refused_extensions:
        yield Finding(
            "error",
            f"role {of.user} may not create the extension {', '.join(of.refused_extensions)}, or the server does not have it. "
            "Have it created by who may, or do without it.",
        )
    yield from of_limits(of.limits, use)


def told(of: Capabilities, url: str) -> Iterator[Finding]:
    host = pooler.place(url)[0]
    here = host in ("", "localhost", "127.0.0.1", "::1") or host.startswith("/")
    if not of.tls and not here:
        yield Finding(
            "warning",
            f"the connection to {host} is not encrypted (sslmode={of.sslmode}): rows and what proves the password "
            "travel in the clear. "
            "Add ?sslmode=verify-full&sslrootcert=<file> to cutover_target_url.",
        )
    elif of.tls and of.sslmode not in ("verify-ca", "verify-full"):
        yield Finding(
            "info",
            f"the connection is encrypted ({of.tls}), but who answers at {host} is not proved (sslmode={of.sslmode}); "
            "sslmode=verify-full with sslrootcert=<file> does that.",
        )
    yield Finding("info", sentence(of))


def sentence(of: Capabilities) -> str:
    """What the role may do, in one sentence."""
    rights = [
        "is a superuser" if of.superuser else "is no superuser",
        f"{'may' if of.superuser or of.create_role else 'may not'} create roles",
        f"{'may' if of.superuser or of.create_database else 'may not'} create databases",
        f"{'owns' if of.owns_database else 'does not own'} the database",
        f"{'may' if of.replication_role else 'may not'} set session_replication_role (not needed)",
    ]
    trusted = (
        f"{len(of.installable)} extensions could be created" if of.installable else "no extension could be created"
    )
    has = f"extensions there: {', '.join(of.installed)}; " if of.installed else ""
    tls = f"encrypted with {of.tls}" if of.tls else "not encrypted"
    return f"role {of.user} {', '.join(rights)}; {has}{trusted}. The connection is {tls}."


def _through_a_pooler(url: str, use: Use, between: pooler.Between) -> Iterator[Finding]:
    got = 1 if between.crowded else pooler.room(url, use.engine)
    if got < use.engine:
        fits = (
            f"cutover_workers: {got - use.others} would fit" if got > use.others else "no number of workers would fit"
        )
        yield Finding(
            "error",
            f"what stands between this host and PostgreSQL serves {got} connections at the same time, and the run "
            f"needs {use.engine}: "
            f"{use.workers} workers and {use.others} others. Enlarge its pool, or use PostgreSQL's own address"
            f"{f' ({between.server}, as it says)' if between.server else ''}; {fits}.",
        )
        return
    yield Finding(
        "info",
        f"something stands between this host and PostgreSQL ({between.why}) and gives each connection a session "
        "of its own: a pooler "
        f"in session mode, or a proxy. That will do; {use.engine} connections were served at the same time.",
    )
