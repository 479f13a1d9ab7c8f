# SPDX-License-Identifier: GPL-3.0-or-later
"""The open loop: what is asked, when, and what came of it."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from dataclasses import dataclass, field
from random import Random
from typing import Any

from .http import Pool, RequestFailed

SEARCHED = ("migration", "straße", "plan", "ängstrom", "no such words")


@dataclass(frozen=True)
class Plan:
    """What to do."""

    rate: float
    write_share: float
    duration: float
    seed: int = 1


@dataclass
class Request:
    """One request and what came of it. Status 0: no answer, `error` says why."""

    at_seconds: float
    kind: str
    status: int = 0
    milliseconds: float = 0.0
    error: str = ""
    stale: bool = False

    def row(self) -> list[Any]:
        """As it stands in the report."""
        error = "stale" if self.stale else self.error
        return [round(self.at_seconds, 4), self.kind, self.status, round(self.milliseconds, 2), error]


@dataclass
class Outcome:
    """Everything that was asked, and the write ids that the application acknowledged."""

    started: float
    requests: list[Request] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    databases: list[str] = field(default_factory=list)


async def run(plan: Plan, pool: Pool) -> Outcome:
    """Send requests at the planned rate and wait until the last one is answered or timed out."""
    targets = await _targets(pool)
    outcome = Outcome(started=time.time())
    loop = _Loop(plan, pool, outcome, targets)
    await loop.play()
    await pool.close()
    return outcome


async def _targets(pool: Pool) -> dict[str, list[Any]]:
    """Documents and users to ask for later. That the application serves at all is checked by the way."""
    documents: list[int] = []
    users: list[str] = []
    try:
        for page in (1, 2, 3):
            status, body = await pool.request("GET", f"/documents?page={page}")
            if status != 200:
                raise ValueError(f"the application answers {status} before any load")
            documents += [document["id"] for document in json.loads(body)["documents"]]
        for document in documents[:8]:
            _, body = await pool.request("GET", f"/documents/{document}")
            users.append(json.loads(body)["author"]["id"])
    except RequestFailed as error:
        raise ValueError(f"no application on 127.0.0.1:{pool.port}: {error}") from error
    if not users:
        raise ValueError("the application has no documents to ask for")
    return {"documents": documents, "users": users}


class _Loop:
    """The state of one run."""

    def __init__(self, plan: Plan, pool: Pool, outcome: Outcome, targets: dict[str, list[Any]]) -> None:
        self._plan = plan
        self._pool = pool
        self._outcome = outcome
        self._targets = targets
        self._random = Random(plan.seed)
        # Write ids are unique across runs, whatever the seed.
        self._run = uuid.uuid4().hex[:12]
        self._written = 0

    async def play(self) -> None:
        """Start each request at its time."""
        begin = time.perf_counter()
        tasks: set[asyncio.Task[None]] = set()
        for number in range(max(1, round(self._plan.rate * self._plan.duration))):
            due = number / self._plan.rate
            # Also when the time has passed already: answers need a turn too.
            await asyncio.sleep(max(0.0, begin + due - time.perf_counter()))
            task = asyncio.create_task(self._one(begin, due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        # Each of them is bounded by the pool's timeout.
        await asyncio.gather(*tasks)

    async def _one(self, begin: float, due: float) -> None:
        kind, method, path, data = self._next()
        request = Request(at_seconds=due, kind=kind)
        self._outcome.requests.append(request)
        try:
            request.status, body = await self._pool.request(method, path, data)
        except RequestFailed as error:
            request.error = str(error)
            return
        finally:
            request.milliseconds = (time.perf_counter() - begin - due) * 1000
        if kind == "post" and request.status in (200, 201):
            self._outcome.acknowledged.append(data["write_id"])
        elif kind == "read-back":
            # It was acknowledged before this request began: not to find it is a stale read.
            request.stale = request.status == 404
        elif kind == "health" and request.status == 200:
            self._note_database(body)

    def _note_database(self, body: bytes) -> None:
        database = str(json.loads(body).get("database"))
        if not self._outcome.databases or self._outcome.databases[-1] != database:
            self._outcome.databases.append(database)

    def _next(self) -> tuple[str, str, str, Any]:
        random = self._random
        documents, users = self._targets["documents"], self._targets["users"]
        if random.random() < self._plan.write_share:
            if random.random() < 0.85:
                self._written += 1
                write_id = f"{self._run}-{self._written:07d}"
                return "post", "POST", "/messages", {"write_id": write_id, "body": f"load {self._written} ✓"}
            changes = {"rating": round(random.random() * 5, 2), "is_public": random.random() < 0.5}
            return "patch", "PATCH", f"/documents/{random.choice(documents)}", changes
        share = random.random()
        if share < 0.2 and self._outcome.acknowledged:
            return "read-back", "GET", f"/writes/{random.choice(self._outcome.acknowledged[-200:])}", None
        if share < 0.45:
            return "list", "GET", f"/documents?page={1 + int(random.random() * 10)}", None
        if share < 0.75:
            return "document", "GET", f"/documents/{random.choice(documents)}", None
        if share < 0.88:
            return "user", "GET", f"/users/{random.choice(users)}", None
        if share < 0.94:
            return "search", "GET", f"/search?q={_quoted(random.choice(SEARCHED))}", None
        if share < 0.98:
            return "health", "GET", "/health", None
        return "stats", "GET", "/stats", None


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())
