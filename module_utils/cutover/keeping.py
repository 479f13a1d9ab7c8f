# SPDX-License-Identifier: GPL-3.0-or-later
"""The passwords of a migration: given by the inventory, else kept by the project, else made; and their rotation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Union

from .passwords import FORMER, NEXT, Directory, Held, check, generate

Store = Union[Directory, Held]


def keep(arguments: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """What the action plugin returns. Raises CutoverError."""
    store: Store = (
        Held(arguments["held"], arguments["place"])
        if arguments.get("held") is not None
        else Directory(arguments["directory"], check_mode)
    )
    names, wanted = arguments["names"], dict(arguments["wanted"])
    given = {name: value for name, value in wanted.items() if not (isinstance(value, str) and value == "")}
    for name, value in given.items():
        # All are judged before the first is made.
        check(value, arguments["variables"].get(name, name))
    kept = [name for name in wanted if name not in given]
    found = {name: store.read(name) for name in kept}
    changed = False
    if arguments["action"] == "begin":
        for name in names:
            changed |= name in kept and begin(store, name)
    elif arguments["action"] in ("promote", "forget"):
        for name in names:
            step = store.promote if arguments["action"] == "promote" else store.forget
            changed |= name in kept and step(name)
    for name in kept:
        value = found[name] if arguments["action"] == "find" else store.read(name)
        if value is None:
            # Check mode keeps none, so nothing is changed by it: a passing one does.
            value, changed = store.make(name, generate()), True
        found[name] = value
    coming = {name: store.read(name + NEXT) for name in kept}
    former = {name: store.read(name + FORMER) for name in kept}
    return {
        "changed": changed,
        "secrets": {**{name: str(value) for name, value in given.items()}, **found},
        "coming": {name: value for name, value in coming.items() if value is not None},
        "former": {name: value for name, value in former.items() if value is not None},
        "given": sorted(given),
        "notes": store.notes,
        "put": getattr(store, "put", []),
        "remove": getattr(store, "remove", []),
    }


def begin(store: Store, name: str) -> bool:
    """Keep a new password as the one that comes, unless a rotation of it is under way."""
    if store.read(name + NEXT) is not None or store.read(name + FORMER) is not None:
        return False
    store.make(name + NEXT, generate())
    return True
