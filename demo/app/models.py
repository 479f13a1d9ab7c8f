# SPDX-License-Identifier: GPL-3.0-or-later
"""The twelve tables as the application sees them. `schema.sql` is what creates them on SQLite."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from sqlalchemy import Boolean, Column, Date, ForeignKey, LargeBinary, String, Table, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from .types import EpochMillis, Id, Json, Money, UtcDateTime, UtcSeconds

Cuid = Annotated[str, mapped_column(Text, primary_key=True)]
Serial = Annotated[int, mapped_column(Id, primary_key=True)]
Millis = Annotated[datetime, mapped_column(EpochMillis)]
Moment = Annotated[datetime, mapped_column(UtcDateTime)]
Cents = Annotated[Decimal, mapped_column(Money)]
JsonValue = Annotated[Any, mapped_column(Json)]


class Base(DeclarativeBase):
    """Text, Boolean, bytea and bigint are the same for every table."""

    type_annotation_map = {str: Text, bool: Boolean, bytes: LargeBinary, int: Id, date: Date}


class User(Base):
    __tablename__ = "users"
    id: Mapped[Cuid]
    email: Mapped[str] = mapped_column(String(255))
    name: Mapped[str]
    bio: Mapped[str | None]
    is_admin: Mapped[bool] = mapped_column("isAdmin")
    balance: Mapped[Cents]
    birthday: Mapped[date | None]
    avatar: Mapped[bytes | None]
    settings: Mapped[JsonValue | None]
    created_at: Mapped[Millis] = mapped_column("createdAt")
    updated_at: Mapped[Millis] = mapped_column("updatedAt")
    last_seen_at: Mapped[Millis | None] = mapped_column("lastSeenAt")


class LoginSession(Base):
    __tablename__ = "sessions"
    id: Mapped[Cuid]
    user_id: Mapped[str] = mapped_column("userId", ForeignKey("users.id"))
    token: Mapped[str]
    ip_address: Mapped[str | None] = mapped_column("ipAddress", String(45))
    user_agent: Mapped[str | None] = mapped_column("userAgent")
    fingerprint: Mapped[bytes | None]
    revoked: Mapped[bool]
    created_at: Mapped[Millis] = mapped_column("createdAt")
    expires_at: Mapped[Millis] = mapped_column("expiresAt")


class Workspace(Base):
    __tablename__ = "workspaces"
    id: Mapped[Serial]
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("workspaces.id"))
    slug: Mapped[str] = mapped_column(String(64))
    name: Mapped[str]
    plan: Mapped[str] = mapped_column(String(16))
    quota_bytes: Mapped[int | None]
    archived: Mapped[bool]
    settings: Mapped[JsonValue]
    created_at: Mapped[Moment]


class Membership(Base):
    __tablename__ = "memberships"
    workspace_id: Mapped[int] = mapped_column(ForeignKey("workspaces.id"), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    invited_by: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    joined_at: Mapped[Moment]


class Document(Base):
    __tablename__ = "documents"
    id: Mapped[Serial]
    workspace_id: Mapped[int] = mapped_column(ForeignKey("workspaces.id"))
    author_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("documents.id"))
    title: Mapped[str] = mapped_column(String(200))
    slug: Mapped[str]
    status: Mapped[str] = mapped_column(String(16))
    is_public: Mapped[bool]
    rating: Mapped[float | None]
    view_count: Mapped[int]
    published_on: Mapped[date | None]
    created_at: Mapped[Moment]
    updated_at: Mapped[Moment]
    deleted_at: Mapped[Moment | None]
    summary: Mapped[str | None]
    body: Mapped[str]


class DocumentChunk(Base):
    __tablename__ = "document_chunks"
    id: Mapped[Serial]
    document_id: Mapped[int] = mapped_column(ForeignKey("documents.id"))
    position: Mapped[int]
    token_count: Mapped[int]
    model: Mapped[str] = mapped_column(String(40))
    norm: Mapped[float]
    embedding: Mapped[bytes | None]
    content: Mapped[str]


class Message(Base):
    __tablename__ = "messages"
    id: Mapped[Serial]
    workspace_id: Mapped[int] = mapped_column("workspaceId", ForeignKey("workspaces.id"))
    author_id: Mapped[str | None] = mapped_column("authorId", ForeignKey("users.id"))
    reply_to_id: Mapped[int | None] = mapped_column("replyToId", ForeignKey("messages.id"))
    write_id: Mapped[str | None] = mapped_column("writeId")
    body: Mapped[str]
    pinned: Mapped[bool]
    reactions: Mapped[JsonValue | None]
    created_at: Mapped[Millis] = mapped_column("createdAt")
    edited_at: Mapped[Millis | None] = mapped_column("editedAt")


class Attachment(Base):
    __tablename__ = "attachments"
    id: Mapped[Cuid]
    message_id: Mapped[int] = mapped_column("messageId", ForeignKey("messages.id"))
    filename: Mapped[str]
    mime_type: Mapped[str] = mapped_column("mimeType", String(100))
    size_bytes: Mapped[int] = mapped_column("sizeBytes")
    sha256: Mapped[bytes]
    created_at: Mapped[Millis] = mapped_column("createdAt")
    data: Mapped[bytes]


class Tag(Base):
    __tablename__ = "tags"
    id: Mapped[Serial]
    name: Mapped[str]
    color: Mapped[str] = mapped_column(String(7))
    description: Mapped[str | None]


# A table without a primary key is no mapped class, only a table to join through.
document_to_tag = Table(
    "_DocumentToTag",
    Base.metadata,
    Column("A", Id, ForeignKey("documents.id"), nullable=False),
    Column("B", Id, ForeignKey("tags.id"), nullable=False),
)


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[Serial]
    number: Mapped[str] = mapped_column(String(20))
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    workspace_id: Mapped[int | None] = mapped_column(ForeignKey("workspaces.id"))
    quantity: Mapped[int]
    unit_price: Mapped[Cents]
    discount: Mapped[Cents | None]
    total: Mapped[Cents]
    tax_rate: Mapped[float]
    currency: Mapped[str] = mapped_column(String(3))
    paid: Mapped[bool | None]
    ordered_on: Mapped[date]
    placed_at: Mapped[Moment]
    shipped_at: Mapped[Moment | None]
    notes: Mapped[str | None]


class Event(Base):
    __tablename__ = "events"
    id: Mapped[Serial]
    kind: Mapped[str] = mapped_column(String(40))
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    workspace_id: Mapped[int | None] = mapped_column(ForeignKey("workspaces.id"))
    payload: Mapped[JsonValue | None]
    duration_ms: Mapped[float | None]
    recorded_at: Mapped[datetime] = mapped_column(UtcSeconds)
