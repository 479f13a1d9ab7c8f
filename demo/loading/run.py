# SPDX-License-Identifier: GPL-3.0-or-later
"""The open loop: what is asked, when, and what came of it."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from .changes import Changes
from .http import Answer, Pool, RequestFailed

SEARCHED = ("migration", "straße", "plan", "ängstrom", "no such words")
WRITES = ("post", "patch")
# How often the loop looks for the file that ends it.
LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Plan:
    """What to do. With `until`, the run ends once that file is there, at the latest after `duration` seconds.

    The file `begun` is made when the first request is about to be sent.
    """

    rate: float
    write_share: float
    duration: float
    seed: int = 1
    until: Path | None = None
    begun: Path | None = None


class Request:
    """One request and what came of it. Status 0: no answer, `error` says why.

    `milliseconds` counts from the moment the request was due, `late` tells how much of that it waited in here.
    """

    __slots__ = ("at_seconds", "error", "kind", "late", "milliseconds", "stale", "status")

    def __init__(
        self,
        at_seconds: float,
        kind: str,
        status: int = 0,
        milliseconds: float = 0.0,
        error: str = "",
        stale: bool = False,
        late: float = 0.0,
    ) -> None:
        self.at_seconds = at_seconds
        self.kind = kind
        self.status = status
        self.milliseconds = milliseconds
        self.error = error
        self.stale = stale
        self.late = late

    def row(self) -> list[Any]:
        """As it stands in the report."""
        error = "stale" if self.stale else self.error
        return [round(self.at_seconds, 4), self.kind, self.status, round(self.milliseconds, 2), error]


@dataclass
class Outcome:
    """Everything that was asked, and what the application acknowledged."""

    started: float
    requests: list[Request] = field(default_factory=list)
    #: The write ids of messages, in the order of their acknowledgements.
    acknowledged: list[str] = field(default_factory=list)
    #: Documents that were changed: id → the version that must at least be there (see changes.py).
    documents: dict[int, int] = field(default_factory=dict)
    #: The run's name, which stands in every write.
    name: str = ""
    #: Which databases answered, in turn: writes tell, and /health.
    databases: list[str] = field(default_factory=list)
    #: Acknowledged writes by the database that took them.
    writes_by_database: Counter[str] = field(default_factory=Counter)


async def run(plan: Plan, pool: Pool) -> Outcome:
    """Send requests at the planned rate and wait until the last one is answered or timed out."""
    targets = await _targets(pool)
    outcome = Outcome(started=time.time())
    loop = _Loop(plan, pool, outcome, targets)
    # Nothing here makes cycles, and a full collection over all that is kept would show as a pause of the application.
    gc.disable()
    if plan.begun:
        plan.begun.touch()
    try:
        await loop.play()
    finally:
        gc.enable()
    await pool.close()
    return outcome


async def _targets(pool: Pool) -> dict[str, list[Any]]:
    """Documents and users to ask for later. That the application serves at all is checked by the way."""
    documents: list[int] = []
    users: list[str] = []
    try:
        for page in (1, 2, 3):
            answer = await pool.request("GET", f"/documents?page={page}")
            if answer.status != 200:
                raise ValueError(f"the application answers {answer.status} before any load")
            documents += [document["id"] for document in json.loads(answer.body)["documents"]]
        for document in documents[:8]:
            answer = await pool.request("GET", f"/documents/{document}")
            users.append(json.loads(answer.body)["author"]["id"])
    except RequestFailed as error:
        raise ValueError(f"no application on 127.0.0.1:{pool.port}: {error}") from error
    if not users:
        raise ValueError("the application has no documents to ask for")
    return {"documents": documents, "users": users}


# What to do with an answer, once it came.
_Then = Callable[[Request, Answer], None]


class _Loop:
    """The state of one run."""

    def __init__(self, plan: Plan, pool: Pool, outcome: Outcome, targets: dict[str, list[Any]]) -> None:
        self._plan = plan
        self._pool = pool
        self._outcome = outcome
        self._users = targets["users"]
        self._random = Random(plan.seed)
        self._changes = Changes(targets["documents"], self._random)
        outcome.name, outcome.documents = self._changes.name, self._changes.acknowledged
        # Acknowledged, and not yet asked for: the next reads are theirs.
        self._fresh: list[str] = []
        self._written = 0

    async def play(self) -> None:
        """Start each request at its time."""
        begin = time.perf_counter()
        look = 0.0
        tasks: set[asyncio.Task[None]] = set()
        for number in range(max(1, round(self._plan.rate * self._plan.duration))):
            due = number / self._plan.rate
            # Also when the time has passed already: answers need a turn too.
            await asyncio.sleep(max(0.0, begin + due - time.perf_counter()))
            if self._plan.until and due >= look:
                look = due + LOOK_SECONDS
                if self._plan.until.exists():
                    break
            task = asyncio.create_task(self._one(begin, due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        # Each of them is bounded by the pool's timeout.
        await asyncio.gather(*tasks)

    async def _one(self, begin: float, due: float) -> None:
        kind, method, path, data, then = self._next()
        late = (time.perf_counter() - begin - due) * 1000
        request = Request(at_seconds=due, kind=kind, late=late)
        self._outcome.requests.append(request)
        answer = Answer(0, b"")
        try:
            answer = await self._pool.request(method, path, data)
            request.status = answer.status
        except RequestFailed as error:
            request.error = str(error)
        finally:
            request.milliseconds = (time.perf_counter() - begin - due) * 1000
        if kind in WRITES and 200 <= answer.status < 300:
            self._outcome.writes_by_database[answer.database or "unknown"] += 1
            self._note_database(answer.database)
        then(request, answer)

    def _note_database(self, database: str) -> None:
        if database and (not self._outcome.databases or self._outcome.databases[-1] != database):
            self._outcome.databases.append(database)

    # ------------------------------------------------------------ what is asked

    def _next(self) -> tuple[str, str, str, Any, _Then]:
        if self._random.random() < self._plan.write_share:
            return self._write()
        share = self._random.random()
        if share < 0.2 and self._outcome.acknowledged:
            return self._read_back()
        if share < 0.45:
            return "list", "GET", f"/documents?page={1 + int(self._random.random() * 10)}", None, _nothing
        if share < 0.77:
            return self._document()
        if share < 0.92:
            return "user", "GET", f"/users/{self._random.choice(self._users)}", None, _nothing
        if share < 0.955:
            return "search", "GET", f"/search?q={_quoted(self._random.choice(SEARCHED))}", None, _nothing
        if share < 0.995:
            return "health", "GET", "/health", None, self._health
        return "stats", "GET", "/stats", None, _nothing

    def _write(self) -> tuple[str, str, str, Any, _Then]:
        change = self._changes.begin() if self._random.random() >= 0.85 else None
        if change is not None:
            document, data = change

            def changed(request: Request, answer: Answer) -> None:
                request.stale = self._changes.end(document, request.status, answer.body)

            return "patch", "PATCH", f"/documents/{document}", data, changed
        self._written += 1
        write_id = f"{self._changes.name}-{self._written:07d}"

        def posted(request: Request, _answer: Answer) -> None:
            if request.status in (200, 201):
                self._outcome.acknowledged.append(write_id)
                self._fresh.append(write_id)

        data = {"write_id": write_id, "body": f"load {self._written} ✓"}
        return "post", "POST", "/messages", data, posted

    def _read_back(self) -> tuple[str, str, str, Any, _Then]:
        write_id = self._fresh.pop() if self._fresh else self._random.choice(self._outcome.acknowledged[-200:])
        del self._fresh[:-50]

        def found(request: Request, _answer: Answer) -> None:
            # It was acknowledged before this request began: not to find it is a stale read.
            request.stale = request.status == 404

        return "read-back", "GET", f"/writes/{write_id}", None, found

    def _document(self) -> tuple[str, str, str, Any, _Then]:
        document, least = self._changes.to_read()

        def compared(request: Request, answer: Answer) -> None:
            request.stale = request.status == 200 and self._changes.version(answer.body) < least

        return "document", "GET", f"/documents/{document}", None, compared

    def _health(self, request: Request, answer: Answer) -> None:
        if request.status == 200:
            # Answers of reads may overtake each other when the route changes; writes alone tell the order.
            database = str(json.loads(answer.body).get("database"))
            if not self._plan.write_share or not self._outcome.databases:
                self._note_database(database)


def _nothing(_request: Request, _answer: Answer) -> None:
    """Any answer will do."""


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())
