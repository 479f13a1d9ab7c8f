-- The SQLite schema of the demo application, as its own migrations left it.
-- Two habits live side by side, as they do in grown applications: tables that a Prisma-like ORM made
-- (camelCase, text ids, DATETIME holding epoch milliseconds) and tables that SQLAlchemy made
-- (snake_case, integer ids, DATETIME holding ISO text).

CREATE TABLE "users" (
    "id"         TEXT NOT NULL PRIMARY KEY,                 -- cuid
    "email"      VARCHAR(255) NOT NULL,
    "name"       TEXT NOT NULL,
    "bio"        TEXT,
    "isAdmin"    BOOLEAN NOT NULL DEFAULT false,
    "balance"    DECIMAL(12,2) NOT NULL DEFAULT 0,          -- kept as REAL or INTEGER, by affinity
    "birthday"   DATE,
    "avatar"     BLOB,
    "settings"   JSONB,                                     -- JSON text, the name Prisma gives it
    "createdAt"  DATETIME NOT NULL,                         -- epoch milliseconds
    "updatedAt"  DATETIME NOT NULL,
    "lastSeenAt" DATETIME
);
CREATE UNIQUE INDEX "users_email_key" ON "users" ("email" COLLATE NOCASE);
CREATE INDEX "users_lastSeenAt_idx" ON "users" ("lastSeenAt" DESC);

CREATE TABLE "sessions" (
    "id"          TEXT NOT NULL PRIMARY KEY,
    "userId"      TEXT NOT NULL,
    "token"       TEXT NOT NULL,
    "ipAddress"   VARCHAR(45),
    "userAgent"   TEXT,
    "fingerprint" BLOB,
    "revoked"     BOOLEAN NOT NULL DEFAULT false,
    "createdAt"   DATETIME NOT NULL,
    "expiresAt"   DATETIME NOT NULL,
    CONSTRAINT "sessions_userId_fkey" FOREIGN KEY ("userId") REFERENCES "users" ("id")
        ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "sessions_token_key" ON "sessions" ("token");
CREATE INDEX "sessions_userId_idx" ON "sessions" ("userId");
CREATE INDEX "sessions_active_idx" ON "sessions" ("expiresAt" DESC) WHERE "revoked" = 0;

CREATE TABLE workspaces (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    parent_id   INTEGER REFERENCES workspaces (id) ON DELETE SET NULL,
    slug        VARCHAR(64) NOT NULL UNIQUE,
    name        TEXT NOT NULL,
    plan        VARCHAR(16) NOT NULL DEFAULT 'free' CHECK (plan IN ('free', 'team', 'business')),
    quota_bytes BIGINT,
    archived    BOOLEAN NOT NULL DEFAULT 0,
    settings    JSON NOT NULL DEFAULT '{}',
    created_at  DATETIME NOT NULL                           -- YYYY-MM-DD HH:MM:SS.ffffff, UTC
);
CREATE INDEX workspaces_parent ON workspaces (parent_id);

CREATE TABLE memberships (
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role         VARCHAR(16) NOT NULL DEFAULT 'member',
    invited_by   TEXT REFERENCES users (id) ON DELETE SET NULL,
    joined_at    DATETIME NOT NULL,
    PRIMARY KEY (workspace_id, user_id),
    CONSTRAINT memberships_role CHECK (role IN ('owner', 'admin', 'member', 'guest'))
);
CREATE INDEX memberships_user ON memberships (user_id);

CREATE TABLE documents (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    author_id    TEXT NOT NULL REFERENCES users (id) ON DELETE RESTRICT,
    parent_id    INTEGER REFERENCES documents (id) ON DELETE SET NULL,
    title        VARCHAR(200) NOT NULL,
    slug         TEXT NOT NULL,
    status       VARCHAR(16) NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'review', 'published')),
    is_public    BOOLEAN NOT NULL DEFAULT 0,
    rating       REAL,
    view_count   INTEGER NOT NULL DEFAULT 0,
    published_on DATE,
    created_at   DATETIME NOT NULL,
    updated_at   DATETIME NOT NULL,
    deleted_at   DATETIME,
    summary      TEXT,
    body         TEXT NOT NULL
);
CREATE INDEX documents_recent ON documents (updated_at DESC, id DESC);
CREATE INDEX documents_parent ON documents (parent_id);
CREATE INDEX documents_author_live ON documents (author_id) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX documents_slug_live ON documents (workspace_id, slug) WHERE deleted_at IS NULL;

CREATE TABLE document_chunks (
    id          INTEGER PRIMARY KEY,
    document_id INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL,
    token_count INTEGER NOT NULL,
    model       VARCHAR(40) NOT NULL,
    norm        REAL NOT NULL,
    embedding   BLOB,                                       -- 768 little-endian float32
    content     TEXT NOT NULL,
    UNIQUE (document_id, position)
);

CREATE TABLE "messages" (
    "id"          INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "workspaceId" INTEGER NOT NULL,
    "authorId"    TEXT,
    "replyToId"   INTEGER,
    "writeId"     TEXT,                                     -- given by the client, unique
    "body"        TEXT NOT NULL,
    "pinned"      BOOLEAN NOT NULL DEFAULT false,
    "reactions"   JSONB,
    "createdAt"   DATETIME NOT NULL,
    "editedAt"    DATETIME,
    CONSTRAINT "messages_workspaceId_fkey" FOREIGN KEY ("workspaceId") REFERENCES "workspaces" ("id")
        ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "messages_authorId_fkey" FOREIGN KEY ("authorId") REFERENCES "users" ("id")
        ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "messages_replyToId_fkey" FOREIGN KEY ("replyToId") REFERENCES "messages" ("id")
        ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "messages_writeId_key" ON "messages" ("writeId");
CREATE INDEX "messages_workspaceId_createdAt_idx" ON "messages" ("workspaceId", "createdAt" DESC);
CREATE INDEX "messages_authorId_idx" ON "messages" ("authorId");
CREATE INDEX "messages_replyToId_idx" ON "messages" ("replyToId") WHERE "replyToId" IS NOT NULL;

CREATE TABLE "attachments" (
    "id"        TEXT NOT NULL PRIMARY KEY,
    "messageId" INTEGER NOT NULL,
    "filename"  TEXT NOT NULL,
    "mimeType"  VARCHAR(100) NOT NULL,
    "sizeBytes" BIGINT NOT NULL,
    "sha256"    BLOB NOT NULL,
    "createdAt" DATETIME NOT NULL,
    "data"      BLOB NOT NULL,
    CONSTRAINT "attachments_messageId_fkey" FOREIGN KEY ("messageId") REFERENCES "messages" ("id")
        ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX "attachments_messageId_idx" ON "attachments" ("messageId");

CREATE TABLE tags (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL COLLATE NOCASE UNIQUE,
    color       VARCHAR(7) NOT NULL DEFAULT '#808080',
    description TEXT
);

-- An implicit many-to-many relation: no primary key, only a unique index.
CREATE TABLE "_DocumentToTag" (
    "A" INTEGER NOT NULL,
    "B" INTEGER NOT NULL,
    CONSTRAINT "_DocumentToTag_A_fkey" FOREIGN KEY ("A") REFERENCES "documents" ("id")
        ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "_DocumentToTag_B_fkey" FOREIGN KEY ("B") REFERENCES "tags" ("id")
        ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "_DocumentToTag_AB_unique" ON "_DocumentToTag" ("A", "B");
CREATE INDEX "_DocumentToTag_B_index" ON "_DocumentToTag" ("B");

CREATE TABLE orders (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    number       VARCHAR(20) NOT NULL,
    user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE RESTRICT,
    workspace_id INTEGER REFERENCES workspaces (id) ON DELETE SET NULL,
    quantity     INTEGER NOT NULL CHECK (quantity > 0),
    unit_price   DECIMAL(12,2) NOT NULL,
    discount     DECIMAL(12,2),
    total        DECIMAL(12,2) NOT NULL,
    tax_rate     REAL NOT NULL DEFAULT 0.19,
    currency     VARCHAR(3) NOT NULL DEFAULT 'EUR',
    paid         BOOLEAN,                                   -- NULL: not known yet
    ordered_on   DATE NOT NULL,
    placed_at    DATETIME NOT NULL,
    shipped_at   DATETIME,
    notes        TEXT,
    CHECK (total >= 0)
);
CREATE UNIQUE INDEX orders_number ON orders (number);
CREATE INDEX orders_user ON orders (user_id, placed_at DESC);
CREATE INDEX orders_unpaid ON orders (placed_at) WHERE paid = 0 OR paid IS NULL;

CREATE TABLE events (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    kind         VARCHAR(40) NOT NULL,
    user_id      TEXT REFERENCES users (id) ON DELETE SET NULL,
    workspace_id INTEGER REFERENCES workspaces (id) ON DELETE SET NULL,
    payload      JSON,                                      -- objects, arrays, strings and plain numbers
    duration_ms  REAL,
    recorded_at  DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX events_kind ON events (kind, recorded_at DESC);
CREATE INDEX events_user ON events (user_id) WHERE user_id IS NOT NULL;

-- For people with a SQL shell; the application does not read it.
CREATE VIEW workspace_activity AS
SELECT w.id, w.name, count(m.id) AS messages, max(m."createdAt") AS last_message_ms
FROM workspaces AS w LEFT JOIN "messages" AS m ON m."workspaceId" = w.id
GROUP BY w.id, w.name;

-- A courtesy to the audit log; the application does not rely on it.
CREATE TRIGGER documents_status_audit AFTER UPDATE OF status ON documents
WHEN old.status IS NOT new.status
BEGIN
    INSERT INTO events (kind, workspace_id, payload)
    VALUES ('document.status', new.workspace_id,
            json_object('document', new.id, 'from', old.status, 'to', new.status));
END;
