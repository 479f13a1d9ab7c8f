# SPDX-License-Identifier: GPL-3.0-or-later
"""The load generator against the real application, and against servers that misbehave."""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from werkzeug.serving import make_server

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "demo"))

import load
import seed
from app import create_app
from loading.check import check_writes
from loading.http import Pool, RequestFailed
from loading.report import summary
from loading.run import Outcome, Request


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "app.sqlite"
    seed.seed(path, 0.01)
    return path


@pytest.fixture
def port(source: Path) -> Iterator[int]:
    server = make_server("127.0.0.1", 0, create_app(f"sqlite:///{source}"), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


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
    return asyncio.run(Pool(port=port, timeout=timeout).request("GET", "/"))


def test_a_run_accounts_for_every_request_and_write(port: int, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "load.json"
    arguments = ["--port", str(port), "--rate", "40", "--duration", "2", "--check", "--out", str(out)]
    assert load.main(arguments) == 0
    report = json.loads(out.read_text(encoding="utf-8"))
    figures = report["summary"]
    assert figures["requests"] == len(report["requests"]) == 80
    assert (figures["failed"], figures["unavailable"], figures["stale"]) == (0, 0, 0)
    assert 0 < figures["acknowledged"] <= figures["writes"]
    assert report["check"]["present"] == figures["acknowledged"] == len(set(report["acknowledged"]))
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


def test_503_and_stale_reads_are_counted_apart_from_failures() -> None:
    requests = [
        Request(0.0, "list", 200, 5.0),
        Request(0.1, "post", 503, 1.0),
        Request(0.2, "post", 0, 1.0, "connection lost"),
        Request(0.3, "read-back", 404, 2.0, stale=True),
        Request(2.0, "post", 201, 10.0),
    ]
    figures = summary(Outcome(started=0.0, requests=requests, acknowledged=["x"]))
    assert (figures["failed"], figures["unavailable"], figures["stale"]) == (1, 1, 1)
    assert figures["failures"] == {"connection lost": 1}
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
