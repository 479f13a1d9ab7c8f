# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbooks say to the operator: differences, writes left behind, status."""

from __future__ import annotations

from typing import Any

import pytest

from support.project import load

cutover, status = load("filter_plugins/cutover.py"), load("filter_plugins/cutover_status.py")


def table(name: str, different: int = 0, only_source: int = 0, only_target: int = 0) -> dict[str, Any]:
    return {
        "name": name,
        "rows_different": different,
        "rows_only_source": only_source,
        "rows_only_target": only_target,
    }


def test_a_difference_is_named_down_to_the_column() -> None:
    found = {
        "tables": [table("a"), table("b", 2, 0, 1)],
        "differences": [
            {"table": "b", "key": "id=7", "column": "x", "source": "1", "target": "2"},
            {"table": "b", "key": "id=9", "column": None, "source": "missing", "target": "present"},
        ],
    }
    text = cutover.differences(found)
    assert "b (3 rows)" in text
    assert "b id=7 column x: 1 → 2" in text
    assert "id=9: source missing, target present" in text
    assert "a (" not in text


def test_nothing_compared_is_no_success() -> None:
    assert "no table was compared" in cutover.differences({"tables": [], "differences": []})


def test_writes_are_counted_by_table_and_kind() -> None:
    counted = cutover.writes({"tables": [table("a"), table("b", 2, 3, 1)]})
    assert counted == [{"table": "b", "inserted": 1, "updated": 2, "deleted": 3}]
    assert cutover.writes_text(counted) == "b: 1 inserted, 2 updated, 3 deleted"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p4ss@h:5432/d",
        "postgresql://u:p4@ss@h/d",
        "postgresql://h/d?password=p4ss&x=1",
        "postgresql://u:p4ss@[::1]/d",
    ],
)
def test_no_password_stays_in_a_url(url: str) -> None:
    redacted = cutover.redact(url)
    assert "p4" not in redacted
    assert "ss@" not in redacted


def looked(stage: str, **changes: Any) -> dict[str, Any]:
    told = {
        "stage": stage,
        "since": "2026-01-01T00:00:00.000000Z",
        "text": "the text",
        "next": "the next",
        "back": "the back",
        "keep_until": None,
    }
    base = {
        "name": "demo",
        "path": "/x.sqlite",
        "status": told,
        "holder": {},
        "fence": {"id": ""},
        "access": {"in_use_since": "", "writes": []},
        "applications": {"app1": {"status": 200, "json": {"database": "sqlite"}}},
        "proxies": {"px": "off"},
    }
    return {**base, **changes}


def test_status_says_whether_going_back_is_free_of_loss() -> None:
    def back(**access: Any) -> str:
        return status.status_lines(looked("released", access=access))[2]

    assert "free of loss at this moment" in back(in_use_since="x", writes=[])
    assert "lost its statistics" in back(in_use_since="x", writes=None)
    assert "about t: 3" in back(in_use_since="x", writes=[{"table": "t", "writes": 3}])
    assert "cannot be told" in back(msg="unreachable")
    assert "the back" in status.status_lines(looked("fenced"))[2]


def test_status_shows_what_does_not_answer_instead_of_failing() -> None:
    lines = status.status_lines(
        looked(
            "released",
            fence={"msg": "no such file"},
            access={"msg": "PostgreSQL cannot be reached"},
            applications={"app1": {"status": -1}},
            proxies={},
            holder={"run": "r", "playbook": "cutover.yml", "since": "now"},
        )
    )
    text = "\n".join(lines)
    for wanted in (
        "no such file",
        "cannot be reached",
        "app1 does not answer",
        "none in the inventory",
        "holds the lock",
    ):
        assert wanted in text


def test_status_shows_how_far_the_replication_is() -> None:
    following = {
        "state": "following",
        "running": True,
        "stale": False,
        "age_seconds": 1.4,
        "text": "following: 312 changes behind, 1,840/s, hold predicted 14 ms",
    }

    def text(**found: Any) -> str:
        return "\n".join(status.status_lines(looked("following", replication={**following, **found})))

    assert "Replication: following: 312 changes behind, 1,840/s, hold predicted 14 ms (as of 1 s ago)." in text()
    assert "Replication: does not run." in text(running=False, text="does not run")
    assert "Replication: process 7 was last heard of long ago." in text(
        stale=True, text="process 7 was last heard of long ago"
    )
    assert "Replication" not in text(state=None)
    assert "Replication" not in "\n".join(status.status_lines(looked("released")))


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ("20261130120000Z", "TLS:         pool1 is the first of 2 to end, on 2027-03-01."),
        ("20270215120000Z", "TLS:         pool1 ends on 2027-03-01; certificates.yml renews"),
        ("20270301120000Z", "TLS:         pool1 ended on 2027-03-01; certificates.yml renews"),
    ],
)
def test_status_names_the_certificate_that_ends_first(now: str, said: str) -> None:
    ends = {"db1": "20280101000000Z", "pool1": "20270301120000Z"}
    assert said in "\n".join(status.status_lines(looked("released", certificates=ends, now=now)))
    assert "TLS" not in "\n".join(status.status_lines(looked("released", certificates={}, now=now)))


def test_the_judgement_of_the_way_back_comes_before_counts_of_writes() -> None:
    judged = {"text": "not free of loss, because t.v of key id=7 does not fit"}
    written = {"in_use_since": "x", "writes": [{"table": "t", "writes": 3}]}

    def back(stage: str, judged: dict[str, Any]) -> str:
        return status.status_lines(looked(stage, access=written, judged=judged))[2]

    assert back("released", judged) == "Going back:  not free of loss, because t.v of key id=7 does not fit."
    assert "about t: 3" in back("released", {})
    assert "the back" in back("following", judged)


def test_status_names_the_end_of_the_retention_only_where_it_is_waited_for() -> None:
    def told(stage: str) -> str:
        described = looked(stage)
        described["status"] = {**described["status"], "keep_until": "2026-01-08"}
        return status.status_lines(described)[1]

    assert told("released").endswith(", from 2026-01-08.")
    # A switch that is not finished is finished now.
    assert "2026" not in told("switched_online") + told("leaving")


def test_status_right_after_the_switch_asks_whether_going_back_is_free_of_loss() -> None:
    judged = {"text": "not free of loss, because column a.b was added"}
    assert "column a.b was added" in status.status_lines(looked("switched_online", judged=judged))[2]
    # Without that answer nothing is said of writes that would be left behind: online they come along.
    online = looked("switched_online", access={"in_use_since": "x", "writes": [{"table": "t", "writes": 3}]})
    online["status"] = {**online["status"], "strategy": "online"}
    assert status.status_lines(online)[2] == "Going back:  the back."


def test_after_the_end_postgresql_is_the_application_s_and_not_closed_to_it() -> None:
    lines = status.status_lines(looked("finalized", access={"in_use_since": "", "writes": []}))
    assert "may write" in lines[4]
    assert "closed" in status.status_lines(looked("following", access={"in_use_since": "", "writes": []}))[4]
