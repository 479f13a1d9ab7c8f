# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine stays what it is shipped as: free of Ansible, few imports, one room per step."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ENGINE = Path(__file__).parents[2] / "module_utils" / "cutover"
FILES = sorted(ENGINE.rglob("*.py"))

# What a room must not know, by what it would have to import. (Its own folder or file is the room.)
FORBIDDEN = {
    "source": {"psycopg2"},
    "target": {"sqlite3"},
    "codecs": {"psycopg2", "sqlite3"},
    "plan": {"psycopg2", "sqlite3"},
    "report": {"psycopg2", "sqlite3"},
}
# A plan is derived on the controller, where a SQL parser may be used; hosts only get the finished plan.
ON_THE_CONTROLLER = {"plan": {"sqlglot"}}


def room(path: Path) -> str:
    return path.relative_to(ENGINE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and top-level name of every absolute import of a file."""
    for node in ast.walk(ast.parse(path.read_text(), feature_version=(3, 9))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, (node.module or "").split(".")[0]


def test_there_is_an_engine() -> None:
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ENGINE)))
def test_imports_only_what_every_host_has(path: Path) -> None:
    allowed = sys.stdlib_module_names | {"psycopg2"} | ON_THE_CONTROLLER.get(room(path), set())
    assert [(line, name) for line, name in imports(path) if name not in allowed] == []


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ENGINE)))
def test_room_does_not_know_what_it_must_not(path: Path) -> None:
    forbidden = FORBIDDEN.get(room(path), set())
    assert [(line, name) for line, name in imports(path) if name in forbidden] == []


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ENGINE)))
def test_file_is_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 400
