# SPDX-License-Identifier: GPL-3.0-or-later
"""The index, statistics over everything, and a user's page."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort, current_app
from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from ..database import reading
from ..models import Base, Document, LoginSession, Membership, Message, Order, User, Workspace
from ..types import Money
from .shape import moment

blueprint = Blueprint("overview", __name__)

# A user's page, put together once: that takes longer than running it.
_SPENT = select(func.count(), func.sum(Order.total, type_=Money())).where(Order.user_id == bindparam("user"))
_MEMBERSHIPS = (
    select(Workspace.id, Workspace.name, Membership.role, Membership.joined_at)
    .join(Membership, Membership.workspace_id == Workspace.id)
    .where(Membership.user_id == bindparam("user"))
    .order_by(Workspace.id)
)
_LIVE = (
    select(func.count())
    .select_from(LoginSession)
    .where(LoginSession.user_id == bindparam("user"), LoginSession.revoked.is_(False))
)


@blueprint.get("/")
def index() -> dict[str, Any]:
    """What there is to ask for."""
    rules = sorted({str(rule) for rule in current_app.url_map.iter_rules() if rule.endpoint != "static"})
    return {"application": "pg-cutover demo", "paths": rules}


@blueprint.get("/stats")
def stats() -> dict[str, Any]:
    """Rows of each table, and counts across joins."""
    with reading() as db:
        return {
            "rows": {
                name: db.scalar(select(func.count()).select_from(table))
                for name, table in sorted(Base.metadata.tables.items())
            },
            "plans": _plans(db),
            "documents": dict(
                db.execute(
                    select(Document.status, func.count())
                    .join(Workspace)
                    .where(Document.deleted_at.is_(None))
                    .group_by(Document.status)
                    .order_by(Document.status)
                ).all()
            ),
            "revenue": {
                currency: str(total)
                for currency, total in db.execute(
                    select(Order.currency, func.sum(Order.total, type_=Money()))
                    .join(User)
                    .where(Order.paid.is_(True))
                    .group_by(Order.currency)
                    .order_by(Order.currency)
                )
            },
        }


def _plans(db: Session) -> dict[str, dict[str, int]]:
    messages = (
        select(Message.workspace_id.label("workspace_id"), func.count().label("messages"))
        .group_by(Message.workspace_id)
        .subquery()
    )
    query = (
        select(
            Workspace.plan,
            func.count(Workspace.id),
            func.coalesce(func.sum(messages.c.messages), 0),
        )
        .outerjoin(messages, messages.c.workspace_id == Workspace.id)
        .group_by(Workspace.plan)
        .order_by(Workspace.plan)
    )
    # The sum of counts is numeric in PostgreSQL, an integer in SQLite.
    return {plan: {"workspaces": count, "messages": int(total)} for plan, count, total in db.execute(query)}


@blueprint.get("/users/<user_id>")
def user(user_id: str) -> dict[str, Any]:
    """A user with workspaces, orders and the number of live sessions."""
    with reading() as db:
        found = db.get(User, user_id)
        if found is None:
            abort(404, f"There is no user {user_id}.")
        orders, spent = db.execute(_SPENT, {"user": user_id}).one()
        memberships = db.execute(_MEMBERSHIPS, {"user": user_id}).all()
        live = db.scalar(_LIVE, {"user": user_id})
        return {
            "id": found.id,
            "email": found.email,
            "name": found.name,
            "bio": found.bio,
            "is_admin": found.is_admin,
            "balance": str(found.balance),
            "birthday": None if found.birthday is None else found.birthday.isoformat(),
            "avatar_bytes": None if found.avatar is None else len(found.avatar),
            "settings": found.settings,
            "created_at": moment(found.created_at),
            "last_seen_at": moment(found.last_seen_at),
            "live_sessions": live,
            "orders": {"count": orders, "total": str(spent or 0)},
            "workspaces": [
                {"id": row.id, "name": row.name, "role": row.role, "joined_at": moment(row.joined_at)}
                for row in memberships
            ],
        }
