# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading into tables that an application's own migrations made: they are filled and otherwise left as they were."""

from __future__ import annotations

from conftest import MakeSqlite
from support.existing import catalog, migrate
from support.independent import execute, fetch

#: As Prisma writes it: quoted camel case, enum, timestamp(3), serial, jsonb, decimal, join table.
PRISMA = """
CREATE TYPE "Role" AS ENUM ('USER', 'ADMIN');
CREATE TABLE "_prisma_migrations" ("id" VARCHAR(36) PRIMARY KEY, "checksum" VARCHAR(64) NOT NULL);
INSERT INTO "_prisma_migrations" VALUES ('1', 'postgresql');
CREATE TABLE "User" ("id" SERIAL NOT NULL, "email" TEXT NOT NULL, "role" "Role" NOT NULL DEFAULT 'USER',
  "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, "score" DOUBLE PRECISION, "balance" DECIMAL(65,30) NOT NULL,
  "active" BOOLEAN NOT NULL DEFAULT true, "meta" JSONB, "avatar" BYTEA, "big" BIGINT, "uuid" UUID, CONSTRAINT "User_pkey" PRIMARY KEY ("id"));
CREATE TABLE "Post" ("id" TEXT NOT NULL, "title" VARCHAR(40) NOT NULL, "authorId" INTEGER NOT NULL, "parentId" TEXT,
  CONSTRAINT "Post_pkey" PRIMARY KEY ("id"));
CREATE TABLE "_PostToTag" ("A" TEXT NOT NULL, "B" INTEGER NOT NULL);
CREATE TABLE "Tag" ("id" SERIAL PRIMARY KEY, "name" TEXT NOT NULL);
CREATE UNIQUE INDEX "User_email_key" ON "User"("email");
CREATE INDEX "Post_authorId_idx" ON "Post"("authorId");
CREATE UNIQUE INDEX "_PostToTag_AB_unique" ON "_PostToTag"("A", "B");
CREATE INDEX "_PostToTag_B_index" ON "_PostToTag"("B");
ALTER TABLE "Post" ADD CONSTRAINT "Post_authorId_fkey" FOREIGN KEY ("authorId") REFERENCES "User"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "Post" ADD CONSTRAINT "Post_parentId_fkey" FOREIGN KEY ("parentId") REFERENCES "Post"("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "_PostToTag" ADD CONSTRAINT "_PostToTag_A_fkey" FOREIGN KEY ("A") REFERENCES "Post"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "_PostToTag" ADD CONSTRAINT "_PostToTag_B_fkey" FOREIGN KEY ("B") REFERENCES "Tag"("id") ON DELETE CASCADE ON UPDATE CASCADE;
"""

PRISMA_SQLITE = """
CREATE TABLE "_prisma_migrations" ("id" TEXT PRIMARY KEY NOT NULL, "checksum" TEXT NOT NULL);
INSERT INTO "_prisma_migrations" VALUES ('1', 'sqlite'), ('2', 'sqlite');
CREATE TABLE "User" ("id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "email" TEXT NOT NULL, "role" TEXT NOT NULL DEFAULT 'USER',
  "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, "score" REAL, "balance" DECIMAL NOT NULL, "active" BOOLEAN NOT NULL DEFAULT true,
  "meta" JSONB, "avatar" BLOB, "big" BIGINT, "uuid" TEXT);
CREATE TABLE "Post" ("id" TEXT NOT NULL PRIMARY KEY, "title" TEXT NOT NULL, "authorId" INTEGER NOT NULL, "parentId" TEXT);
CREATE TABLE "_PostToTag" ("A" TEXT NOT NULL, "B" INTEGER NOT NULL);
CREATE TABLE "Tag" ("id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "name" TEXT NOT NULL);
INSERT INTO "User" VALUES (1, 'a@x', 'USER', 1700000000123, 0.1, 12.5, 1, '{"a": 1}', x'00ff', 9007199254740993, '0b6c1c8e-94be-4d0c-93f8-0f8d0a9d0b11'),
  (7, 'b@x', 'ADMIN', 1700000000124, NULL, 3, 0, NULL, NULL, NULL, NULL);
INSERT INTO "Tag" VALUES (3, 'x'), (4, 'y');
DELETE FROM "Tag" WHERE id = 4;
INSERT INTO "Post" VALUES ('p2', 'child', 7, 'p1'), ('p1', 'parent', 1, NULL);
INSERT INTO "_PostToTag" VALUES ('p1', 3), ('p2', 3);
"""


def test_prisma_shaped_schema_is_filled_and_left_as_it_was(make_sqlite: MakeSqlite, database: str) -> None:
    execute(database, PRISMA)
    before = catalog(database)
    result = migrate(make_sqlite(PRISMA_SQLITE), database)
    assert result.verified["ok"]
    assert catalog(database) == before
    assert fetch(database, 'SELECT checksum FROM "_prisma_migrations"') == [("postgresql",)]
    assert fetch(database, 'SELECT id, role::text, "createdAt"::text, balance, big FROM "User" ORDER BY id')[0][:3] == (
        1,
        "USER",
        "2023-11-14 22:13:20.123",
    )
    execute(
        database,
        """INSERT INTO "User" (email, balance) VALUES ('c@x', 1)""",
        """INSERT INTO "Tag" (name) VALUES ('z')""",
    )
    assert fetch(database, 'SELECT (SELECT max(id) FROM "User"), (SELECT max(id) FROM "Tag")') == [(8, 5)]
