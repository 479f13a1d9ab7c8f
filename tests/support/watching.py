# SPDX-License-Identifier: GPL-3.0-or-later
"""While a migration is disturbed: a client that writes all the time, and an eye on which database could be written to."""

from __future__ import annotations

import http.client
import json
import sqlite3
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg2

#: A write that changes nothing but needs every right and fires every trigger.
_WRITE = "UPDATE tags SET color = color WHERE id = (SELECT min(id) FROM tags)"


class _Thread:
    """Something done again and again until the block is left."""

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self.error: BaseException | None = None

    def _loop(self) -> None:
        try:
            while not self._ended.wait(self._pause):
                self.step()
        except BaseException as error:
            self.error = error
            raise

    def step(self) -> None:
        """Do it once."""
        raise NotImplementedError  # each watcher has its own

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and fail if it failed."""
        self._ended.set()
        self._thread.join(60)
        assert self.error is None, self.error

    def __enter__(self) -> Any:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.stop()
        else:
            self._ended.set()


class Writer(_Thread):
    """Sends one write after another through the proxy and remembers those that were acknowledged."""

    def __init__(self, port: int, pause: float = 0.1) -> None:
        super().__init__(pause)
        self._port = port
        self._number = 0
        self.acknowledged: list[str] = []
        self.statuses: Counter[int] = Counter()

    def step(self) -> None:
        """One write."""
        self._number += 1
        write_id = f"watched-{self._number}"
        status = post(self._port, {"write_id": write_id, "body": f"é {self._number}"})
        self.statuses[status] += 1
        if status in (200, 201):
            self.acknowledged.append(write_id)


def post(port: int, message: dict[str, Any]) -> int:
    """The status of one write through the proxy; 0 when there was no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        connection.request("POST", "/messages", json.dumps(message), headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def get(port: int, path: str) -> tuple[int, Any]:
    """Status and JSON of one read through the proxy; (0, None) when there was no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, json.loads(body) if body else None
    except (OSError, http.client.HTTPException, ValueError):
        return 0, None
    finally:
        connection.close()


class Watch(_Thread):
    """Tries to write to both databases in turn, each time taking it back; never may both let it."""

    def __init__(self, path: Path, url: str, pause: float = 0.1) -> None:
        super().__init__(pause)
        self._path, self._url = path, url
        self._connection: Any = None
        #: (name of the database, could be written to), oldest first; what could not be told is left out.
        self.seen: list[tuple[str, bool]] = []

    def step(self) -> None:
        """Look once at each."""
        for name, look in (("sqlite", self.sqlite), ("postgresql", self.postgresql)):
            answer = look()
            if answer is not None:
                self.seen.append((name, answer))

    def both(self) -> int:
        """How often one was writable before and after a moment at which the other was: then both were."""
        latest: dict[str, bool] = {}
        found = 0
        for name, answer in self.seen:
            other = "postgresql" if name == "sqlite" else "sqlite"
            found += bool(answer and latest.get(name) and latest.get(other))
            latest[name] = answer
        return found

    def sqlite(self) -> bool | None:
        """Whether SQLite takes a write now; None when it is locked."""
        connection = sqlite3.connect(f"file:{self._path}?mode=rw", uri=True, timeout=0, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_WRITE)
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return None
        except sqlite3.IntegrityError:
            return False
        finally:
            connection.close()
        return True

    def postgresql(self) -> bool | None:
        """Whether PostgreSQL takes a write of the application's role now; None when a lock is in the way."""
        try:
            if self._connection is None or self._connection.closed:
                self._connection = psycopg2.connect(self._url, connect_timeout=5, options="-c lock_timeout=200")
            with self._connection.cursor() as cursor:
                cursor.execute(_WRITE)
        except (psycopg2.errors.UndefinedTable, psycopg2.errors.InsufficientPrivilege):
            return False
        except psycopg2.Error:
            return None
        finally:
            with suppress(psycopg2.Error, AttributeError):
                self._connection.rollback()
        return True

    def until(self, name: str, answer: bool, seconds: float = 20) -> None:
        """Wait until a database was seen to be writable or not."""
        deadline = time.monotonic() + seconds
        while [a for n, a in self.seen if n == name][-1:] != [answer]:
            assert time.monotonic() < deadline, f"{name} did not become {'' if answer else 'un'}writable"
            time.sleep(0.05)
