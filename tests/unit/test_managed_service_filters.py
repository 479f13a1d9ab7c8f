# SPDX-License-Identifier: GPL-3.0-or-later
"""What the answers of Supabase and Railway mean, and which of them are worth another request."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from support.platforms import ORGANIZATION, REF, project

_PATH = Path(__file__).parents[2] / "filter_plugins" / "managed_service.py"
_SPEC = importlib.util.spec_from_file_location("managed_service_filters", _PATH)
assert _SPEC
assert _SPEC.loader
filters = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(filters)


def answer(status: int, body: Any = None, **more: Any) -> dict[str, Any]:
    """An answer as the module uri returns it."""
    return {"status": status, "content": "x", **({} if body is None else {"json": body}), **more}


@pytest.mark.parametrize(
    ("given", "service", "words"),
    [
        (
            answer(401, {"message": "Unauthorized"}),
            "supabase",
            "the token is refused. Check managed_service_token (or the environment variable SUPABASE_ACCESS_TOKEN)",
        ),
        (
            answer(200, {"errors": [{"message": "Not Authorized"}], "data": None}),
            "railway",
            "the token is refused. Check managed_service_token (or the environment variable RAILWAY_TOKEN)",
        ),
        (
            answer(403, {"message": "Forbidden resource"}),
            "supabase",
            "the token may not do this: Forbidden resource. Give",
        ),
        (
            answer(404, {"message": "Organization not found"}),
            "supabase",
            "there is no such thing: Organization not found.",
        ),
        (
            answer(402, {"message": "The maximum number of free projects is reached."}),
            "supabase",
            "it is refused (HTTP 402): The maximum number of free projects is reached.",
        ),
        (
            answer(400, {"message": ["db_pass must be a string", "name is too long"]}),
            "supabase",
            "it is refused (HTTP 400): db_pass must be a string name is too long.",
        ),
        (answer(429, {"message": "Too many requests"}), "supabase", "too many requests, also after waiting as told."),
        (answer(502), "railway", "the platform has a fault of its own (HTTP 502). Run again"),
        (answer(200), "supabase", "the answer is no JSON (HTTP 200). Is managed_service_api_url right?"),
        (answer(200, {"errors": [{"message": "Project not found"}]}), "railway", "it is refused: Project not found."),
        (
            answer(-1, url="https://api.supabase.com/v1/projects", msg="Request failed: timed out"),
            "supabase",
            "api.supabase.com does not answer (Request failed: timed out).",
        ),
        ({"msg": "no route"}, "railway", "the address does not answer (no route)."),
    ],
)
def test_one_message_for_what_is_wrong(given: dict[str, Any], service: str, words: str) -> None:
    said = filters.problem(given, service, "doing something")
    assert said.startswith(f"{service.capitalize()}, doing something: {words}")


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            'Variable "$input" got invalid value {"value": "postgresql://o:geheim@db/x"} at "input.value"; Expected Int.',
            'Variable "$input" got an invalid value.',
        ),
        ("cannot connect to postgresql://o:geheim@db:5432/x now", "cannot connect to (a URL) now."),
        ("see https://o:geheim@example.com/x", "see (a URL)."),
        ("see https://docs.railway.com/guides", "see https://docs.railway.com/guides."),
    ],
)
def test_what_a_platform_repeats_of_the_request_is_not_shown(message: str, told: str) -> None:
    said = filters.problem(answer(200, {"errors": [{"message": message}]}), "railway", "x")
    assert said == f"Railway, x: it is refused: {told}"
    said = filters.problem(answer(400, {"message": [message]}), "supabase", "x")
    assert said == f"Supabase, x: it is refused (HTTP 400): {told}"


def test_a_server_is_told_by_its_port_too() -> None:
    public = "postgresql://u:p@proxy.rlwy.net:31234/railway"
    assert filters.is_place("postgresql://app:x@proxy.rlwy.net:31234/other?sslmode=require", public)
    assert not filters.is_place("postgresql://app:x@proxy.rlwy.net:40000/railway", public)
    assert filters.is_place("postgresql://a@db/x", "postgresql://b@db:5432/y")
    assert not filters.is_place("sqlite:////data/app.sqlite", public)
    assert not filters.is_place("postgresql://a@db:port/x", public)


def test_what_is_right_has_no_message() -> None:
    assert filters.problem(answer(200, []), "supabase", "x") == ""
    assert filters.problem(answer(200, {"data": {}}), "railway", "x") == ""
    # Done, without a word.
    assert filters.problem({"status": 201, "content": ""}, "supabase", "x") == ""


def test_wait_before_another_request() -> None:
    assert filters.wait_seconds(answer(429, retry_after="7"), 1) == 7
    assert filters.wait_seconds(answer(429, retry_after="7"), 1, repeat=False) == 7
    assert filters.wait_seconds(answer(429, retry_after="0"), 1) == 1
    assert filters.wait_seconds(answer(429, retry_after="86400"), 1) == 120
    assert filters.wait_seconds(answer(429, retry_after="Sun, 29 Nov 2026 20:00:00 GMT"), 3) == 8
    assert [filters.wait_seconds(answer(503), attempt) for attempt in (1, 2, 3)] == [2, 4, 8]
    assert filters.wait_seconds({}, 1) == 2
    assert filters.wait_seconds(answer(503), 1, repeat=False) == 0
    assert [filters.wait_seconds(answer(status), 1) for status in (200, 201, 400, 401, 403, 404)] == [0] * 6


def test_project_by_name_reference_and_organisation() -> None:
    projects = [project(), project("other", ref="o" * 20), project(ref="g" * 20, status="REMOVED")]
    assert filters.supabase_project(projects, "shop")["ref"] == REF
    assert filters.supabase_project(projects, "o" * 20)["name"] == "other"
    assert filters.supabase_project(projects, "shop", ORGANIZATION)["ref"] == REF
    assert filters.supabase_project(projects, "shop", "elsewhere") == {}
    assert filters.supabase_project(projects, "nothing") == {}
    # The answer to a creation has the identifier under its older name.
    assert filters.supabase_project([{"id": "i" * 20, "name": "shop"}], "shop")["ref"] == "i" * 20
    with pytest.raises(AnsibleFilterError, match=f"Supabase has 2 projects named shop \\({REF}, zz\\)"):
        filters.supabase_project([*projects, project(ref="zz")], "shop")


@pytest.mark.parametrize("status", ["INACTIVE", "INIT_FAILED", "REMOVED", "PAUSE_FAILED", "RESTORE_FAILED"])
def test_project_that_waiting_does_not_help(status: str) -> None:
    assert filters.supabase_stuck(project(status=status))


@pytest.mark.parametrize("status", ["COMING_UP", "ACTIVE_HEALTHY", "ACTIVE_UNHEALTHY", "RESTORING", "UPGRADING"])
def test_project_that_waiting_helps(status: str) -> None:
    assert filters.supabase_stuck(project(status=status)) == ""
    assert filters.supabase_stuck({}) == ""


def test_pooler_that_supabase_does_not_name() -> None:
    with pytest.raises(AnsibleFilterError, match="use managed_service_connection: direct"):
        filters.supabase_place(project(), "session", [{"database_type": "READ_REPLICA", "db_host": "x"}])


@pytest.mark.parametrize(
    ("url", "public"),
    [
        (
            "postgresql://u:p@proxy.rlwy.net:31234/railway",
            "postgresql://u:p@proxy.rlwy.net:31234/railway?sslmode=require",
        ),
        (
            "postgresql://u:p@proxy.rlwy.net:31234/railway?sslmode=disable",
            "postgresql://u:p@proxy.rlwy.net:31234/railway?sslmode=disable",
        ),
        ("postgresql://u:p@:/railway", ""),
        ("postgresql://u:p@proxy.rlwy.net:/railway", ""),
        ("", ""),
    ],
)
def test_public_address_that_is_not_there_yet(url: str, public: str) -> None:
    assert filters.railway_public_url({"DATABASE_PUBLIC_URL": url}) == public


def test_private_address_keeps_role_and_password() -> None:
    url = "postgresql://app:p%40ss@proxy.rlwy.net:31234/railway?sslmode=require"
    inside = filters.at_private_place(url, "postgresql://x:y@postgres.railway.internal:5432/railway")
    assert inside == "postgresql://app:p%40ss@postgres.railway.internal:5432/railway"
    # Only what is said of TLS goes.
    more = filters.at_private_place(
        f"{url}&connect_timeout=5&sslrootcert=%2Fca&application_name=shop", "postgresql://h:1/d"
    )
    assert more == "postgresql://app:p%40ss@h:1/railway?connect_timeout=5&application_name=shop"
    assert "@[fd12::1]:5432/" in filters.at_private_place(url, "postgresql://x:y@[fd12::1]/railway")
    with pytest.raises(AnsibleFilterError, match="its private address is not known"):
        filters.at_private_place(url, "")


def test_value_in_an_environment_file() -> None:
    text = "# DATABASE_URL=no\nOTHER_DATABASE_URL=no\nexport DATABASE_URL='first'\nDATABASE_URL=\"postgresql://a:b=c@d/e\"\n"
    assert filters.env_value(text, "DATABASE_URL") == "postgresql://a:b=c@d/e"
    with pytest.raises(AnsibleFilterError, match="has no line DATABASE_URL=…"):
        filters.env_value("PORT=1\n", "DATABASE_URL")
