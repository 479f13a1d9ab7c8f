# SPDX-License-Identifier: GPL-3.0-or-later
"""The load generator against the real application, and against servers that misbehave."""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest
from werkzeug.serving import make_server
from werkzeug.test import Client

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "demo"))

import load
import seed
from app import create_app
from loading.changes import Changes
from loading.check import check_writes
from loading.http import Pool, RequestFailed
from loading.report import summary
from loading.run import Outcome, Request


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "app.sqlite"
    seed.seed(path, 0.01)
    return path


@contextmanager
def serving(application: WSGIApplication) -> Iterator[int]:
    """A server with a thread for each connection."""
    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def port(source: Path) -> Iterator[int]:
    with serving(create_app(f"sqlite:///{source}")) as number:
        yield number


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that treats one connection as `answer` says."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with closing(connection):
                connection.recv(65536)
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def ask(port: int, timeout: float = 2.0) -> tuple[int, bytes]:
    answer = asyncio.run(Pool(port=port, timeout=timeout).request("GET", "/"))
    return answer.status, answer.body


def test_a_run_accounts_for_every_request_and_write(port: int, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "load.json"
    arguments = ["--port", str(port), "--rate", "40", "--duration", "2", "--check", "--out", str(out)]
    assert load.main(arguments) == 0
    report = json.loads(out.read_text(encoding="utf-8"))
    figures = report["summary"]
    assert figures["requests"] == len(report["requests"]) == 80
    assert (figures["failed"], figures["unavailable"], figures["stale"]) == (0, 0, 0)
    assert 0 < figures["acknowledged"] <= figures["writes"]
    assert figures["acknowledged"] == len(set(report["acknowledged"]))
    assert report["documents"], "some documents were changed"
    assert report["check"]["present"] == figures["acknowledged"] + len(report["documents"])
    assert figures["writes_by_database"] == {"sqlite": figures["writes"]}
    assert figures["databases"] == ["sqlite"]
    assert 0 < figures["latency_ms"]["max"] <= figures["longest_wait_ms"]
    assert 0 < figures["latency_ms"]["p50"] <= figures["latency_ms"]["max"]
    with closing(sqlite3.connect(source)) as connection:
        stored = {row[0] for row in connection.execute('SELECT "writeId" FROM messages')}
    assert set(report["acknowledged"]) <= stored


def test_a_lost_write_is_found_and_named(
    port: int, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "load.json"
    assert load.main(["--port", str(port), "--rate", "30", "--duration", "1", "--out", str(out)]) == 0
    lost = json.loads(out.read_text(encoding="utf-8"))["acknowledged"][0]
    assert load.main(["--port", str(port), "--verify", str(out)]) == 0
    with closing(sqlite3.connect(source)) as connection:
        connection.execute('DELETE FROM messages WHERE "writeId" = ?', (lost,))
        connection.commit()
    assert load.main(["--port", str(port), "--verify", str(out)]) == 1
    assert f"lost: {lost}" in capsys.readouterr().out


def test_a_lost_change_of_a_document_is_found_and_named(
    port: int, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "load.json"
    arguments = ["--port", str(port), "--rate", "60", "--duration", "1.5", "--write-share", "0.8", "--out", str(out)]
    assert load.main(arguments) == 0
    report = json.loads(out.read_text(encoding="utf-8"))
    document, version = next(iter(report["documents"].items()))
    with closing(sqlite3.connect(source)) as connection:
        for summary_now, lost in (
            (f"load {report['run']} {version - 1}", True),
            (f"load {report['run']} {version + 1}", False),
            ("load 0123456789ab 1", False),
            ("as it was before", True),
        ):
            connection.execute("UPDATE documents SET summary = ? WHERE id = ?", (summary_now, document))
            connection.commit()
            assert load.main(["--port", str(port), "--verify", str(out)]) == int(lost), summary_now
            assert (f"lost: document {document}, version {version}\n" in capsys.readouterr().out) == lost


def test_a_run_ends_when_the_file_appears(port: int, tmp_path: Path) -> None:
    begun, done, figures = (tmp_path / name for name in ("begun", "done", "figures.json"))

    def end() -> None:
        # A second of load, however long it takes on a busy machine until it begins.
        deadline = time.monotonic() + 30
        while not begun.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(1)
        done.touch()

    ending = threading.Thread(target=end)
    ending.start()
    arguments = ["--port", str(port), "--rate", "30", "--check", "--until-file", str(done), "--summary", str(figures)]
    assert load.main([*arguments, "--begun-file", str(begun)]) == 0
    ending.join()
    report = json.loads(figures.read_text(encoding="utf-8"))
    assert report["summary"]["requests"] > 0
    assert report["check"]["lost"] == []
    assert "requests" not in report, "figures only"


def test_a_file_that_does_not_appear_ends_the_run_with_a_failure(
    port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--port", str(port), "--rate", "20", "--duration", "0.5", "--until-file", str(tmp_path / "never")]
    assert load.main(arguments) == 1
    assert "did not appear within 0.5 s" in capsys.readouterr().err


class Forgetful:
    """The real application, before which an older answer is given for documents: a second database that lags."""

    def __init__(self, application: WSGIApplication) -> None:
        self.application = application
        self.first: dict[str, tuple[str, list[tuple[str, str]], bytes]] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if environ["REQUEST_METHOD"] != "GET" or not path.startswith("/documents/"):
            return self.application(environ, start_response)
        if path not in self.first:
            answer = Client(self.application).get(path)
            self.first[path] = (answer.status, list(answer.headers), answer.data)
        status, headers, body = self.first[path]
        start_response(status, headers)
        return [body]


def test_an_older_version_after_an_acknowledged_change_is_a_stale_read(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "load.json"
    with serving(Forgetful(create_app(f"sqlite:///{source}"))) as port:
        arguments = ["--port", str(port), "--rate", "80", "--duration", "2", "--write-share", "0.5", "--out", str(out)]
        assert load.main(arguments) == 1
    report = json.loads(out.read_text(encoding="utf-8"))
    assert report["summary"]["stale"] > 0
    assert report["summary"]["failed"] == 0
    assert {row[1] for row in report["requests"] if row[4] == "stale"} == {"document"}


def test_a_document_has_one_change_at_a_time_and_none_after_an_unknown_outcome() -> None:
    changes = Changes([1, 2], Random(1))
    begun = [changes.begin(), changes.begin()]
    assert sorted(document for document, _ in filter(None, begun)) == [1, 2]
    assert changes.begin() is None
    assert not changes.end(1, 0, b"")
    assert changes.begin() is None, "the change without an answer may still be carried out"
    assert changes.end(2, 200, b'{"summary": "old"}'), "the answer itself is older than what it acknowledges"
    assert changes.acknowledged == {2: 1}
    assert changes.to_read() == (2, 1)
    again = changes.begin()
    assert again is not None
    assert again[1]["summary"] == f"load {changes.name} 2"
    assert not changes.end(2, 503, b"")
    assert changes.acknowledged == {2: 1}
    assert changes.begin() is not None, "refused, and so not done"


def test_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    assert load.main(["--port", str(port), "--duration", "1"]) == 1
    assert f"no application on 127.0.0.1:{port}: refused" in capsys.readouterr().err


def test_a_check_gives_up_on_a_server_that_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loading.check.PATIENCE_SECONDS", 0.0)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    result = asyncio.run(check_writes(Pool(port=port), ["a", "b"]))
    assert (result["lost"], result["unknown"]) == ([], ["a", "b"])


def test_a_check_waits_for_an_application_that_is_away_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loading.check.PAUSE_SECONDS", 0.01)
    asked: list[str] = []

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        asked.append(environ["PATH_INFO"])
        away = len(asked) < 30
        missing = asked[-1].endswith("c")
        start_response("503 Away" if away else "404 Lost" if missing else "200 OK", [("Content-Length", "0")])
        return [b""]

    with serving(application) as port:
        result = asyncio.run(check_writes(Pool(port=port), ["a", "b", "c"]))
    assert (result["present"], result["lost"], result["unknown"]) == (2, ["c"], [])


def test_answers_come_with_a_length_in_chunks_or_until_the_end() -> None:
    def chunked(connection: socket.socket) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")

    def closed(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.0 503 Service Unavailable\r\n\r\nsorry")

    with answering(chunked) as port:
        assert ask(port) == (200, b"abcde")
    with answering(closed) as port:
        assert ask(port) == (503, b"sorry")


def test_a_broken_answer_is_a_failure() -> None:
    def cut(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")

    def nonsense(connection: socket.socket) -> None:
        connection.sendall(b"hello\r\n\r\n")

    for answer, reason in (
        (cut, "connection lost"),
        (nonsense, "bad answer"),
        (socket.socket.close, "connection lost"),
    ):
        with answering(answer) as port, pytest.raises(RequestFailed, match=reason):
            ask(port)


def test_a_silent_server_is_not_waited_for_longer_than_the_timeout() -> None:
    release = threading.Event()
    with answering(lambda _: release.wait(5) and None) as port:
        with pytest.raises(RequestFailed, match="timeout"):
            ask(port, timeout=0.2)
        release.set()


def test_503_is_a_failure_unless_a_maintenance_page_is_expected() -> None:
    requests = [
        Request(0.0, "list", 200, 5.0),
        Request(0.1, "post", 503, 1.0),
        Request(0.2, "post", 0, 1.0, "connection lost"),
        Request(0.3, "read-back", 404, 2.0, stale=True),
        Request(2.0, "post", 201, 10.0),
    ]
    outcome = Outcome(started=0.0, requests=requests, acknowledged=["x"])
    assert summary(outcome)["failures"] == {"connection lost": 1, "503": 1}
    figures = summary(outcome, maintenance=True)
    assert (figures["failed"], figures["unavailable"], figures["stale"]) == (1, 1, 1)
    assert figures["failures"] == {"connection lost": 1}
    assert figures["longest_wait_ms"] == 10.0
    assert figures["longest_pause_seconds"] == pytest.approx(2.005)
    assert figures["longest_write_pause_seconds"] == pytest.approx(2.01)
    assert requests[3].row() == [0.3, "read-back", 404, 2.0, "stale"]


@pytest.mark.parametrize(
    "arguments",
    [["--rate", "0"], ["--duration", "-1"], ["--write-share", "2"], ["--rate", "1000", "--duration", "1001"]],
)
def test_a_load_without_bounds_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        load.main(arguments)
    assert caught.value.code == 2
