# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables in which tools keep the history of their own migrations, of one engine: never copied, never touched."""

from __future__ import annotations

from collections.abc import Iterable

#: By name in lower case.
KNOWN: dict[str, str] = {
    "_prisma_migrations": "Prisma",
    "alembic_version": "Alembic",
    "django_migrations": "Django",
    "knex_migrations": "knex",
    "knex_migrations_lock": "knex",
    "schema_migrations": "Rails and others",
    "ar_internal_metadata": "Rails",
    "flyway_schema_history": "Flyway",
    "databasechangelog": "Liquibase",
    "databasechangeloglock": "Liquibase",
    "sequelizemeta": "Sequelize",
    "sequelizedata": "Sequelize",
    "migrations": "TypeORM, Laravel and others",
    "typeorm_metadata": "TypeORM",
    "__efmigrationshistory": "Entity Framework",
    "__efmigrationslock": "Entity Framework",
    "goose_db_version": "goose",
    "gorp_migrations": "sql-migrate",
    "_sqlx_migrations": "sqlx",
    "__diesel_schema_migrations": "Diesel",
    "seaql_migrations": "SeaORM",
    "refinery_schema_history": "refinery",
    "__drizzle_migrations": "Drizzle",
    "mikro_orm_migrations": "MikroORM",
    "kysely_migration": "Kysely",
    "kysely_migration_lock": "Kysely",
    "pgmigrations": "node-pg-migrate",
    "yoyo_migration": "yoyo",
    "_yoyo_migration": "yoyo",
    "_yoyo_log": "yoyo",
    "_yoyo_version": "yoyo",
    "yoyo_lock": "yoyo",
    "aerich": "aerich",
    "migratehistory": "peewee",
    "phinxlog": "Phinx",
    "doctrine_migration_versions": "Doctrine",
}

#: Tables whose rows an application's migrations write on each engine for itself, with keys that other tables refer to.
SEEDED_PER_ENGINE = frozenset({"django_content_type", "auth_permission", "django_site"})


def owner(name: str, more: Iterable[str] = ()) -> str | None:
    """Whose bookkeeping the table is, or None when it is the application's data."""
    if name in set(more):
        return "named in the plan"
    return KNOWN.get(name.lower())
