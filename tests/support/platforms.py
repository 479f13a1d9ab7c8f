# SPDX-License-Identifier: GPL-3.0-or-later
"""A local server that answers as Supabase's Management API and Railway's GraphQL API do by their public documents.

Supabase: GET and POST /v1/projects, GET /v1/projects/{ref}, …/config/database/pooler, GET and POST …/secrets; bearer token; 201 for
what was created; {message} with an error. Railway: POST /graphql/v2 with {query, variables}; {data} or {errors: [{message}]}, also with
status 200; account tokens as bearer, project tokens in Project-Access-Token. Both: 429 with Retry-After.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "tok_9f8e7d6c5b4a"
REF, ORGANIZATION = "abcdefghijklmnopqrst", "tsrqponmlkjihgfedcba"
PROJECT, ENVIRONMENT, DATABASE, SHOP = (f"{n}0000000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3, 4))


@dataclass
class Platform:
    """What the platform holds, what it was asked, and how it shall misbehave."""

    url: str = ""
    projects: list[dict[str, Any]] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=lambda: {SHOP: "shop"})
    variables: dict[str, dict[str, str]] = field(default_factory=lambda: {SHOP: {"PORT": "8000"}})
    #: What a new Railway database's variables are.
    database: dict[str, str] = field(default_factory=dict)
    #: Looks at a new database until it is there.
    slow: int = 0
    #: (status, headers, body) for the next requests, before anything else.
    faults: list[tuple[int, dict[str, str], Any]] = field(default_factory=list)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def writes(self) -> list[tuple[str, str, Any]]:
        """The requests that would have changed something."""
        return [
            one for one in self.asked if one[0] == "POST" and (one[1] != "/graphql/v2" or "mutation" in one[2]["query"])
        ]


def project(name: str = "shop", status: str = "ACTIVE_HEALTHY", ref: str = REF) -> dict[str, Any]:
    """A Supabase project as the API shows it."""
    return {
        "id": ref,
        "ref": ref,
        "organization_id": "0f0f0f0f-0000-4000-8000-000000000001",
        "organization_slug": ORGANIZATION,
        "name": name,
        "region": "eu-central-1",
        "created_at": "2026-11-29T10:00:00Z",
        "status": status,
        "database": {
            "host": f"db.{ref}.supabase.co",
            "version": "17.4.1.054",
            "postgres_engine": "17",
            "release_channel": "ga",
        },
    }


class _Handler(BaseHTTPRequestHandler):
    platform: Platform

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def _answer(self, status: int, body: Any = None, **headers: str) -> None:
        content = b"" if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self.platform.asked.append((self.command, self.path, body))
        self.platform.headers.append(dict(self.headers.items()))
        if self.platform.faults:
            status, headers, said = self.platform.faults.pop(0)
            self._answer(status, said, **headers)
        elif self.path == "/graphql/v2":
            self._railway(body)
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, {"message": "Unauthorized"})
        else:
            self._supabase(body)

    do_GET = do_POST = _serve

    # ------------------------------------------------------------ Supabase

    def _supabase(self, body: Any) -> None:
        platform, parts = self.platform, self.path.split("/")[1:]
        if parts[:2] != ["v1", "projects"]:
            self._answer(404, {"message": f"Cannot {self.command} {self.path}"})
        elif len(parts) == 2 and self.command == "GET":
            self._answer(200, platform.projects)
        elif len(parts) == 2:
            if not body.get("db_pass") or not body.get("organization_slug") or not body.get("name"):
                self._answer(400, {"message": ["db_pass must be a string"]})
                return
            if body["organization_slug"] != ORGANIZATION:
                self._answer(404, {"message": "Organization not found"})
                return
            made = project(body["name"], "COMING_UP" if platform.slow else "ACTIVE_HEALTHY")
            platform.projects.append(made)
            self._answer(201, {name: value for name, value in made.items() if name != "database"})
        else:
            self._of_project(parts[2:], body)

    def _of_project(self, parts: list[str], body: Any) -> None:
        platform = self.platform
        found = next((one for one in platform.projects if one["ref"] == parts[0]), None)
        if found is None:
            self._answer(404, {"message": "Project not found"})
        elif len(parts) == 1:
            if found["status"] == "COMING_UP":
                platform.slow -= 1
                found["status"] = "COMING_UP" if platform.slow > 0 else "ACTIVE_HEALTHY"
            self._answer(200, found)
        elif parts[1:] == ["config", "database", "pooler"]:
            host = "aws-0-eu-central-1.pooler.supabase.com"
            one = {
                "identifier": found["ref"],
                "database_type": "PRIMARY",
                "db_user": "postgres",
                "db_host": host,
                "db_port": 6543,
            }
            self._answer(200, [{**one, "db_name": "postgres", "pool_mode": "transaction", "connection_string": ""}])
        elif parts[1:] == ["secrets"] and self.command == "GET":
            digests = {name: hashlib.sha256(value.encode()).hexdigest() for name, value in platform.secrets.items()}
            self._answer(200, [{"name": name, "value": value} for name, value in digests.items()])
        elif parts[1:] == ["secrets"]:
            platform.secrets.update({one["name"]: one["value"] for one in body})
            self._answer(201)
        else:
            self._answer(404, {"message": f"Cannot {self.command} {self.path}"})

    # ------------------------------------------------------------ Railway

    def _railway(self, body: Any) -> None:
        if TOKEN not in (
            self.headers.get("Project-Access-Token"),
            self.headers.get("Authorization", "").removeprefix("Bearer "),
        ):
            self._failed("Not Authorized")
            return
        platform, given = self.platform, body["variables"]
        query = body["query"].replace(" ", "")
        of = given.get("input", given)
        if "projectId" in of and (of["projectId"], of["environmentId"]) != (PROJECT, ENVIRONMENT):
            self._failed("Project not found")
        elif "{project(id:$id)" in query:
            if given["id"] != PROJECT:
                self._failed("Project not found")
                return
            if platform.slow and DATABASE not in platform.services and platform.database:
                platform.slow -= 1
            elif platform.database and any("templateDeployV2" in str(one[2]) for one in platform.asked):
                platform.services[DATABASE] = "Postgres"
                platform.variables[DATABASE] = platform.database
            services = [{"node": {"id": one, "name": name}} for one, name in platform.services.items()]
            environments = [{"node": {"id": ENVIRONMENT, "name": "production"}}]
            told = {
                "id": PROJECT,
                "name": "my shop",
                "environments": {"edges": environments},
                "services": {"edges": services},
            }
            self._answer(200, {"data": {"project": told}})
        elif "{template(code:$code)" in query:
            self._answer(
                200,
                {
                    "data": {
                        "template": {"id": "template-1", "serializedConfig": {"services": {"a": {"name": "Postgres"}}}}
                    }
                },
            )
        elif "{templateDeployV2(input:$input)" in query:
            if of["templateId"] != "template-1" or "services" not in of["serializedConfig"]:
                self._failed("Problem processing request")
                return
            self._answer(200, {"data": {"templateDeployV2": {"projectId": PROJECT, "workflowId": "workflow-1"}}})
        elif "{variables(" in query:
            self._answer(200, {"data": {"variables": platform.variables.get(given["serviceId"], {})}})
        elif "{variableUpsert(input:$input)" in query:
            platform.variables[of["serviceId"]][of["name"]] = of["value"]
            self._answer(200, {"data": {"variableUpsert": True}})
        else:
            self._failed("Problem processing request")

    def _failed(self, message: str) -> None:
        self._answer(
            200, {"errors": [{"message": message, "extensions": {"code": "INTERNAL_SERVER_ERROR"}}], "data": None}
        )


@contextmanager
def platform() -> Iterator[Platform]:
    """A platform of its own on a free port of this host."""
    held = Platform()
    handler = type("Handler", (_Handler,), {"platform": held})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    held.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
