# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages: the writes that a load test counts."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from flask import Blueprint, abort, jsonify
from flask.typing import ResponseReturnValue
from sqlalchemy import bindparam, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from ..database import reading, session
from ..errors import refusal_of
from ..models import Event, Message, Workspace
from .shape import body, moment, text_of

blueprint = Blueprint("messages", __name__)

# Put together once: that takes longer than running it.
_BY_WRITE_ID = select(Message.id, Message.body, Message.created_at).where(Message.write_id == bindparam("wanted"))
_EVENT = insert(Event)


@blueprint.post("/messages")
def create_message() -> ResponseReturnValue:
    """Store a message under the client's write id. The same id again gives the same message back."""
    data = body()
    write_id = text_of(data, "write_id", longest=100)
    text = text_of(data, "body", longest=100_000, empty=True)
    author_id = None if data.get("author_id") is None else text_of(data, "author_id", longest=100)
    now = datetime.now(timezone.utc)
    try:
        with session() as db:
            message_id = db.execute(
                insert(Message)
                .values(
                    workspace_id=_workspace(data),
                    author_id=author_id,
                    write_id=write_id,
                    body=text,
                    pinned=False,
                    created_at=now,
                )
                .returning(Message.id)
            ).scalar_one()
            event = {
                "kind": "message.created",
                "payload": {"message": message_id},
                "duration_ms": None,
                "recorded_at": now,
            }
            db.execute(_EVENT, event)
    except IntegrityError as error:
        if refusal_of(error):
            raise
        known = _find(write_id)
        if known is None:
            raise
        return jsonify(known), 200
    return jsonify(write_id=write_id, id=message_id), 201


@blueprint.delete("/messages/<int:message_id>")
def delete_message(message_id: int) -> ResponseReturnValue:
    """Delete a message; its attachments go with it."""
    with session() as db:
        done = db.execute(
            delete(Message)
            .where(Message.id == message_id)
            .returning(Message.id)
            .execution_options(synchronize_session=False)
        ).first()
        if done is None:
            abort(404, f"There is no message {message_id}.")
    return "", 204


@blueprint.get("/writes/<write_id>")
def read_write(write_id: str) -> ResponseReturnValue:
    """The message that was stored under a write id."""
    known = _find(write_id)
    if known is None:
        abort(404, f"There is no write {write_id}.")
    return jsonify(known)


def _find(write_id: str) -> dict[str, Any] | None:
    with reading() as db:
        row = db.execute(_BY_WRITE_ID, {"wanted": write_id}).first()
    if row is None:
        return None
    return {"write_id": write_id, "id": row.id, "body": row.body, "created_at": moment(row.created_at)}


def _workspace(data: dict[str, Any]) -> Any:
    """The workspace asked for, or the first one, looked up within the INSERT itself."""
    wanted = data.get("workspace_id")
    if wanted is None:
        return select(func.min(Workspace.id)).scalar_subquery()
    if not isinstance(wanted, int) or isinstance(wanted, bool) or not 0 < wanted < 2**63:
        abort(400, "workspace_id is a number.")
    return wanted
