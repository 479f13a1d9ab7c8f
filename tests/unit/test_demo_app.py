# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo application on SQLite, endpoint by endpoint."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from flask.testing import FlaskClient

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "demo"))

import seed
from app import create_app


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("seed") / "app.sqlite"
    seed.seed(path, 0.01)
    return path


@pytest.fixture
def source(seeded: Path, tmp_path: Path) -> Path:
    path = tmp_path / "app.sqlite"
    path.write_bytes(seeded.read_bytes())
    return path


@pytest.fixture
def client(source: Path) -> Iterator[FlaskClient]:
    app = create_app(f"sqlite:///{source}")
    yield app.test_client()
    app.extensions["engine"].dispose()


def change(source: Path, sql: str) -> None:
    with closing(sqlite3.connect(source)) as connection:
        connection.executescript(sql)


def value(source: Path, sql: str) -> object:
    with closing(sqlite3.connect(source)) as connection:
        return connection.execute(sql).fetchone()[0]


def fence(source: Path) -> None:
    change(
        source,
        "\n".join(
            f"""CREATE TRIGGER fence_{table}_{operation} BEFORE {operation} ON {table}
                BEGIN SELECT RAISE(ABORT, 'pg-cutover: the database has moved'); END;"""
            for table in ("messages", "documents", "tags", "events")
            for operation in ("INSERT", "UPDATE", "DELETE")
        ),
    )


def test_health_names_the_database(client: FlaskClient) -> None:
    answer = client.get("/health")
    assert answer.status_code == 200
    assert answer.json == {
        "status": "ok",
        "database": "sqlite",
        "server": sqlite3.sqlite_version,
        "writable": True,
    }


def test_health_changes_nothing(client: FlaskClient, source: Path) -> None:
    before = value(source, "PRAGMA data_version"), source.stat().st_mtime_ns
    client.get("/health")
    assert (value(source, "PRAGMA data_version"), source.stat().st_mtime_ns) == before


def test_health_on_a_fenced_file_is_read_only(client: FlaskClient, source: Path) -> None:
    fence(source)
    answer = client.get("/health")
    assert (answer.status_code, answer.json["writable"]) == (200, False)


def test_health_while_another_process_writes_is_read_only_and_quick(client: FlaskClient, source: Path) -> None:
    with closing(sqlite3.connect(source, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert client.get("/health").json["writable"] is False
        other.execute("ROLLBACK")
    assert client.get("/health").json["writable"] is True


def test_health_without_a_database_is_503(tmp_path: Path) -> None:
    answer = create_app(f"sqlite:///{tmp_path}/none.sqlite").test_client().get("/health")
    assert answer.status_code == 503
    assert answer.json == {"status": "error", "database": "sqlite", "server": None, "writable": False}


def test_documents_are_listed_by_page(client: FlaskClient) -> None:
    first, second = client.get("/documents").json, client.get("/documents?page=2").json
    assert len(first["documents"]) == 20
    moments = [document["updated_at"] for document in first["documents"] + second["documents"]]
    assert moments == sorted(moments, reverse=True)
    assert {document["id"] for document in first["documents"]}.isdisjoint(
        document["id"] for document in second["documents"]
    )
    assert {"author", "workspace", "tags"} <= first["documents"][0].keys()


@pytest.mark.parametrize("page", ["0", "-1", "x", "", "10001", "²"])
def test_a_page_that_is_none_is_refused(client: FlaskClient, page: str) -> None:
    assert client.get("/documents", query_string={"page": page}).status_code == 400


def test_a_document_with_everything_that_belongs_to_it(client: FlaskClient, source: Path) -> None:
    number = value(source, "SELECT document_id FROM document_chunks WHERE embedding IS NOT NULL LIMIT 1")
    document = client.get(f"/documents/{number}").json
    assert document["body"] == value(source, f"SELECT body FROM documents WHERE id = {number}")
    assert len(document["chunks"]) == value(
        source, f"SELECT count(*) FROM document_chunks WHERE document_id = {number}"
    )
    assert 3072 in {chunk["embedding_bytes"] for chunk in document["chunks"]}
    assert document["created_at"].endswith("+00:00")
    assert client.get("/documents/99999999").status_code == 404


def test_a_user(client: FlaskClient, source: Path) -> None:
    rich = value(source, "SELECT id FROM users WHERE balance > 9e9")
    user = client.get(f"/users/{rich}").json
    assert user["balance"] == "9999999999.99"
    assert user["is_admin"] is False
    assert user["workspaces"]
    assert client.get("/users/nobody").status_code == 404


def test_search_knows_no_case_and_no_wildcards(client: FlaskClient, source: Path) -> None:
    change(source, "UPDATE documents SET title = 'Say 100% PURE_gold', deleted_at = NULL WHERE id = 3")
    for wanted in ("100% pure", "pure_GOLD"):
        found = client.get("/search", query_string={"q": wanted}).json["documents"]
        assert [document["id"] for document in found] == [3]
    assert client.get("/search", query_string={"q": "100%gold"}).json["documents"] == []
    assert client.get("/search?q=x").status_code == 400


def test_statistics_count_every_table(client: FlaskClient, source: Path) -> None:
    stats = client.get("/stats").json
    assert len(stats["rows"]) == 12
    for table, count in stats["rows"].items():
        assert count == value(source, f'SELECT count(*) FROM "{table}"')
    assert sum(plan["messages"] for plan in stats["plans"].values()) == stats["rows"]["messages"]
    euros = value(source, "SELECT printf('%.2f', sum(total)) FROM orders WHERE paid AND currency = 'EUR'")
    assert stats["revenue"]["EUR"] == euros


def test_a_message_is_stored_once_under_its_write_id(client: FlaskClient, source: Path) -> None:
    last = value(source, "SELECT seq FROM sqlite_sequence WHERE name = 'messages'")
    body = "héllo 👩‍👩‍👧‍👦 \\N"
    first = client.post("/messages", json={"write_id": "w-1", "body": body})
    assert (first.status_code, first.json) == (201, {"write_id": "w-1", "id": last + 1})
    again = client.post("/messages", json={"write_id": "w-1", "body": "other"})
    assert (again.status_code, again.json["id"], again.json["body"]) == (200, last + 1, body)
    assert client.get("/writes/w-1").json["body"] == body
    assert client.get("/writes/none").status_code == 404
    assert value(source, f'SELECT typeof("createdAt") FROM messages WHERE id = {last + 1}') == "integer"
    assert value(source, "SELECT length(recorded_at) FROM events ORDER BY id DESC LIMIT 1") == 19


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {"body": "no id"},
        {"write_id": "", "body": "empty id"},
        {"write_id": "a", "body": 1},
        {"write_id": "a", "body": "nul \0"},
        {"write_id": "a", "body": "x", "workspace_id": "1"},
        {"write_id": "a", "body": "x", "workspace_id": 2**63},
    ],
)
def test_a_message_that_is_none_is_refused(client: FlaskClient, data: object) -> None:
    assert client.post("/messages", json=data).status_code == 400


def test_half_a_surrogate_pair_is_refused(client: FlaskClient) -> None:
    data = r'{"write_id": "a", "body": "half \ud83d"}'
    assert client.post("/messages", data=data, content_type="application/json").status_code == 400


def test_a_message_of_nobody_breaks_a_foreign_key(client: FlaskClient) -> None:
    answer = client.post("/messages", json={"write_id": "a", "body": "x", "author_id": "nobody"})
    assert (answer.status_code, answer.json["error"]) == (409, "conflict")


def test_deleting_a_message_takes_its_attachments_along(client: FlaskClient, source: Path) -> None:
    number = value(source, 'SELECT "messageId" FROM attachments LIMIT 1')
    assert client.delete(f"/messages/{number}").status_code == 204
    assert client.delete(f"/messages/{number}").status_code == 404
    assert value(source, f'SELECT count(*) FROM attachments WHERE "messageId" = {number}') == 0


def test_a_document_is_changed(client: FlaskClient, source: Path) -> None:
    changes = {"title": "New", "status": "review", "is_public": True, "rating": 4.25, "summary": None}
    document = client.patch("/documents/3", json=changes).json
    assert {key: document[key] for key in changes} == changes
    assert client.get("/documents").json["documents"][0]["id"] == 3
    assert value(source, "SELECT length(updated_at) FROM documents WHERE id = 3") == 26
    assert client.patch("/documents/99999999", json={"title": "x"}).status_code == 404


@pytest.mark.parametrize(
    "changes",
    [{}, {"id": 1}, {"title": ""}, {"title": "x" * 201}, {"status": "lost"}, {"is_public": 1}, {"rating": 6}],
)
def test_a_change_that_is_none_is_refused(client: FlaskClient, changes: dict[str, object]) -> None:
    assert client.patch("/documents/3", json=changes).status_code == 400


def test_a_fenced_database_is_503_for_writes_and_serves_reads(client: FlaskClient, source: Path) -> None:
    number = value(source, "SELECT max(id) FROM messages")
    fence(source)
    for answer in (
        client.post("/messages", json={"write_id": "w", "body": "x"}),
        client.patch("/documents/3", json={"title": "x"}),
        client.delete(f"/messages/{number}"),
    ):
        assert (answer.status_code, answer.json["error"]) == (503, "refused")
        assert int(answer.headers["Retry-After"]) > 0
    assert client.get("/documents").status_code == 200
    assert client.get("/writes/w").status_code == 404


def test_a_locked_database_is_503(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.database.SQLITE_BUSY_SECONDS", 0.05)
    client = create_app(f"sqlite:///{source}").test_client()
    with closing(sqlite3.connect(source, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = client.post("/messages", json={"write_id": "w", "body": "x"})
        assert (answer.status_code, answer.json["error"]) == (503, "unavailable")
        assert client.get("/documents").status_code == 200
        other.execute("ROLLBACK")
    assert client.post("/messages", json={"write_id": "w", "body": "x"}).status_code == 201


def test_errors_are_json(client: FlaskClient) -> None:
    for answer, status in ((client.get("/nothing"), 404), (client.put("/messages"), 405)):
        assert answer.status_code == status
        assert answer.json["error"]
    assert "/health" in client.get("/").json["paths"]


def test_foreign_keys_are_on_and_writers_wait(source: Path) -> None:
    engine = create_app(f"sqlite:///{source}").extensions["engine"]
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 5000
