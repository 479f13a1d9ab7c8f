# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents: list, read, search, change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from flask import Blueprint, abort, request
from sqlalchemy import bindparam, func, or_, select, update
from sqlalchemy.orm import Session

from ..database import reading, session
from ..models import Document, DocumentChunk, Tag, User, Workspace, document_to_tag
from .shape import PAGE_SIZE, body, moment, page_number, text_of

blueprint = Blueprint("documents", __name__)

STATUSES = ("draft", "review", "published")

_LISTED = (
    Document.id,
    Document.title,
    Document.status,
    Document.is_public,
    Document.rating,
    Document.updated_at,
    User.name.label("author"),
    Workspace.name.label("workspace"),
)

# What is asked for with every other request is put together once: that takes longer than running it.
_PAGE = (
    select(*_LISTED)
    .join(User, User.id == Document.author_id)
    .join(Workspace, Workspace.id == Document.workspace_id)
    .where(Document.deleted_at.is_(None))
    .order_by(Document.updated_at.desc(), Document.id.desc())
    .limit(PAGE_SIZE)
    .offset(bindparam("skipped"))
)
_DOCUMENT = (
    select(Document, User.name, Workspace.name)
    .join(User, User.id == Document.author_id)
    .join(Workspace, Workspace.id == Document.workspace_id)
    .where(Document.id == bindparam("document"))
)
_CHUNKS = (
    select(
        DocumentChunk.position,
        DocumentChunk.token_count,
        DocumentChunk.norm,
        func.length(DocumentChunk.embedding).label("embedding_bytes"),
        func.substr(DocumentChunk.content, 1, 80).label("start"),
    )
    .where(DocumentChunk.document_id == bindparam("document"))
    .order_by(DocumentChunk.position)
)
_CHILDREN = select(Document.id).where(Document.parent_id == bindparam("document")).order_by(Document.id)
_TAGS = (
    select(document_to_tag.c.A, Tag.name)
    .join(Tag, Tag.id == document_to_tag.c.B)
    .where(document_to_tag.c.A.in_(bindparam("documents", expanding=True)))
    .order_by(document_to_tag.c.A, Tag.id)
)


@blueprint.get("/documents")
def list_documents() -> dict[str, Any]:
    """A page of live documents, the latest change first."""
    page = page_number()
    with reading() as db:
        rows = db.execute(_PAGE, {"skipped": (page - 1) * PAGE_SIZE}).all()
        return {"page": page, "documents": _listed(db, rows)}


@blueprint.get("/search")
def search() -> dict[str, Any]:
    """Documents whose title or summary holds `q`."""
    wanted = request.args.get("q", "")
    if not 2 <= len(wanted) <= 100 or "\0" in wanted:
        abort(400, "q is a text of 2 to 100 characters.")
    query = (
        select(*_LISTED)
        .join(User, User.id == Document.author_id)
        .join(Workspace, Workspace.id == Document.workspace_id)
        .where(Document.deleted_at.is_(None))
        .where(
            or_(
                Document.title.icontains(wanted, autoescape=True),
                Document.summary.icontains(wanted, autoescape=True),
            )
        )
        .order_by(Document.updated_at.desc(), Document.id.desc())
        .limit(PAGE_SIZE)
    )
    with reading() as db:
        rows = db.execute(query).all()
        return {"query": wanted, "documents": _listed(db, rows)}


@blueprint.get("/documents/<int:document_id>")
def read_document(document_id: int) -> dict[str, Any]:
    """One document with its text, tags, chunks and children."""
    with reading() as db:
        return _whole(db, document_id)


@blueprint.patch("/documents/<int:document_id>")
def change_document(document_id: int) -> dict[str, Any]:
    """Change some fields; answers with the whole document."""
    changes = _changes(body())
    with session() as db:
        # Write first, read afterwards: a transaction that starts by reading could not wait for the lock.
        done = db.execute(
            update(Document)
            .where(Document.id == document_id)
            .values(**changes, updated_at=datetime.now(timezone.utc))
            .returning(Document.id)
            .execution_options(synchronize_session=False)
        ).first()
        if done is None:
            abort(404, f"There is no document {document_id}.")
        return _whole(db, document_id)


def _changes(data: dict[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for key, value in data.items():
        if key == "title":
            changes[key] = text_of(data, key, longest=200)
        elif key == "summary":
            changes[key] = None if value is None else text_of(data, key, longest=2000, empty=True)
        elif key == "body":
            changes[key] = text_of(data, key, longest=500_000, empty=True)
        elif (key == "status" and value in STATUSES) or (key == "is_public" and isinstance(value, bool)):
            changes[key] = value
        elif key == "rating" and (value is None or (isinstance(value, (int, float)) and 0 <= value <= 5)):
            changes[key] = None if value is None else float(value)
        else:
            abort(400, f"{key} cannot be changed to this.")
    if not changes:
        abort(400, "Nothing to change.")
    return changes


def _whole(db: Session, document_id: int) -> dict[str, Any]:
    row = db.execute(_DOCUMENT, {"document": document_id}).first()
    if row is None:
        abort(404, f"There is no document {document_id}.")
    document, author, workspace = row
    chunks = db.execute(_CHUNKS, {"document": document_id}).all()
    children = db.scalars(_CHILDREN, {"document": document_id}).all()
    return {
        "id": document.id,
        "workspace": {"id": document.workspace_id, "name": workspace},
        "author": {"id": document.author_id, "name": author},
        "parent_id": document.parent_id,
        "title": document.title,
        "slug": document.slug,
        "status": document.status,
        "is_public": document.is_public,
        "rating": document.rating,
        "view_count": document.view_count,
        "published_on": None if document.published_on is None else document.published_on.isoformat(),
        "created_at": moment(document.created_at),
        "updated_at": moment(document.updated_at),
        "deleted_at": moment(document.deleted_at),
        "summary": document.summary,
        "body": document.body,
        "tags": _tags(db, [document.id])[document.id],
        "chunks": [dict(chunk._mapping) for chunk in chunks],
        "children": list(children),
    }


def _listed(db: Session, rows: Sequence[Any]) -> list[dict[str, Any]]:
    found = list(rows)
    tags = _tags(db, [row.id for row in found])
    return [{**row._mapping, "updated_at": moment(row.updated_at), "tags": tags[row.id]} for row in found]


def _tags(db: Session, document_ids: list[int]) -> dict[int, list[str]]:
    """Tag names per document, in the order of the tags' ids: collations of names differ between databases."""
    names: dict[int, list[str]] = defaultdict(list)
    for document_id, name in db.execute(_TAGS, {"documents": document_ids}):
        names[document_id].append(name)
    return names
