# SPDX-License-Identifier: GPL-3.0-or-later
"""Small helpers that every view shares: how values look in JSON, and what a request may hold."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import abort, request

PAGE_SIZE = 20
MAX_PAGE = 10_000


def moment(value: datetime | None) -> str | None:
    """ISO 8601 with zone."""
    return None if value is None else value.isoformat()


def page_number() -> int:
    """The `page` argument, from 1 on."""
    text = request.args.get("page", "1")
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_PAGE:
        abort(400, f"page is a number from 1 to {MAX_PAGE}.")
    return int(text)


def body() -> dict[str, Any]:
    """The JSON object that came with the request."""
    data = request.get_json(silent=True)
    if not isinstance(data, dict):
        abort(400, "The request needs a JSON object.")
    return data


def text_of(data: dict[str, Any], key: str, *, longest: int, empty: bool = False) -> str:
    """A text value that both databases can hold."""
    value = data.get(key)
    if not isinstance(value, str) or len(value) > longest or not (value or empty):
        abort(400, f"{key} is a text of at most {longest} characters.")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        abort(400, f"{key} holds half a surrogate pair.")
    if "\0" in value:
        abort(400, f"{key} holds a NUL character.")
    return value
