# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a migration stands by its journal, and which phases the journal refuses."""

from __future__ import annotations

from typing import Any

import pytest

from cutover.errors import CutoverError
from cutover.stage import check_allowed, position, stage, status, touched

ONLINE = ["capture", "schema", "copy", "indexes", ("follow", "started")]
FORWARD = ["schema", "backup", "maintenance", "fence", "copy", "indexes", "verify"]


def journal(*steps: str | tuple[str, str]) -> list[dict[str, Any]]:
    """Events of phases; a bare name is started and done, ``(name, state)`` is that state alone."""
    events: list[dict[str, Any]] = []
    for step in steps:
        name, states = (step, ("started", "done")) if isinstance(step, str) else (step[0], (step[1],))
        for state in states:
            detail = {"id": "f1"} if name == "fence" and state == "done" else {}
            events.append(
                {
                    "seq": len(events) + 1,
                    "at": f"2026-01-01T00:00:{len(events):02d}.000000Z",
                    "run": "r",
                    "event": "phase",
                    "phase": name,
                    "state": state,
                    "detail": detail,
                }
            )
    return events


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], "new"),
        (["schema"], "prepared"),
        (["schema", ("fence", "started")], "fencing"),
        (["schema", "fence"], "fenced"),
        (["schema", "fence", "copy"], "copied"),
        (FORWARD, "verified"),
        ([*FORWARD, ("switch", "started")], "switching"),
        ([*FORWARD, "switch"], "switched"),
        ([*FORWARD, "switch", "restart", "release"], "released"),
        ([*FORWARD, "put_back"], "reopened"),
        ([*FORWARD, "put_back", "put_back_release"], "source"),
        ([*FORWARD, "switch", "release", ("rollback_maintenance", "started")], "leaving"),
        ([*FORWARD, "switch", "release", "rollback_maintenance", "rollback_close", "rollback_stay"], "released"),
        ([*FORWARD, "switch", "release", "rollback_put_back", "rollback_maintenance"], "returned"),
        ([*FORWARD, "switch", "release", ("finalize_application", "started")], "finalizing"),
        ([*FORWARD, "switch", "release", ("rollback_put_back", "started")], "rolling_back"),
        ([*FORWARD, "switch", "release", "rollback_put_back"], "returned"),
        ([*FORWARD, "switch", "release", "rollback_put_back", "rollback_release"], "rolled_back"),
        ([*FORWARD, "switch", "release", "finalize"], "finalized"),
    ],
)
def test_the_stage_follows_the_phases(steps: list[Any], expected: str) -> None:
    assert stage(journal(*steps))[0] == expected


def test_a_copy_beside_the_course_does_not_move_the_migration() -> None:
    assert stage(journal("schema", "copy", "verify"))[0] == "prepared"
    assert stage(journal(*FORWARD, "switch", "release", "verify"))[0] == "released"


def test_a_run_again_under_the_fence_stays_fenced() -> None:
    # The schema phase runs again after a kill, while the application still is in maintenance.
    again = journal(*FORWARD[:4], "copy", "schema")
    assert stage(again)[0] == "copied"
    assert position(again) == "f1"


def test_what_was_taken_from_the_application_is_known_until_it_is_given_back() -> None:
    assert not touched(journal("schema", "backup"))
    assert touched(journal("schema", ("maintenance", "started")))
    # Opening the source alone is not all: a run killed here leaves the maintenance on.
    assert touched(journal("maintenance", "fence", "put_back"))
    assert not touched(journal("maintenance", "fence", "put_back", "put_back_release"))
    # A rollback of a switch that was never released is rollback.yml's to finish, not put_back.yml's.
    assert not touched(journal(*FORWARD, "switch", ("rollback_put_back", "started")))
    assert not touched(journal(*FORWARD, "switch", "release"))


def test_past_the_point_of_no_return_nothing_opens_the_source_by_itself() -> None:
    for steps in ([("switch", "started")], ["switch"], ["switch", "release"]):
        with pytest.raises(CutoverError, match="point of no return"):
            check_allowed(journal(*FORWARD, *steps), "put_back")
        with pytest.raises(CutoverError, match="stays as it is"):
            check_allowed(journal(*FORWARD, *steps), "fence")


def test_a_switch_needs_the_proof() -> None:
    for count in range(len(FORWARD)):
        with pytest.raises(CutoverError, match="not proved"):
            check_allowed(journal(*FORWARD[:count]), "switch")
    check_allowed(journal(*FORWARD), "switch")
    with pytest.raises(CutoverError):
        check_allowed(journal(*FORWARD, "put_back"), "switch")


def test_going_back_needs_a_switch() -> None:
    with pytest.raises(CutoverError, match="not switched"):
        check_allowed(journal(*FORWARD), "rollback_put_back")
    check_allowed(journal(*FORWARD, "switch", "release"), "rollback_put_back")
    check_allowed(journal(*FORWARD, "switch", "release", ("rollback_put_back", "started")), "rollback_put_back")


def test_a_rollback_that_stopped_can_go_both_ways() -> None:
    leaving = journal(*FORWARD, "switch", "release", "rollback_maintenance", "rollback_close")
    told = status(leaving, 7)
    assert told["committed"] is True
    assert told["keep_until"].startswith("2026-01-08")
    check_allowed(leaving, "switch")
    check_allowed(leaving, "rollback_put_back")
    with pytest.raises(CutoverError, match="stays as it is"):
        check_allowed(leaving, "fence")


def test_nothing_goes_back_once_the_way_back_is_being_removed() -> None:
    finalizing = journal(*FORWARD, "switch", "release", ("finalize_target", "started"))
    assert status(finalizing, 7)["committed"] is True
    for phase in ("rollback_put_back", "put_back", "fence"):
        with pytest.raises(CutoverError):
            check_allowed(finalizing, phase)


def test_a_former_release_promises_nothing_after_a_rollback() -> None:
    back = journal(*FORWARD, "switch", "release", "rollback_put_back", "rollback_release")
    again = journal(
        *FORWARD, "switch", "release", "rollback_put_back", "rollback_release", *FORWARD, "switch", "restart"
    )
    assert status(back, 7)["keep_until"] is None
    assert status([*again, *journal(("rollback_maintenance", "started"))], 7)["keep_until"] is None


def test_the_way_back_is_promised_from_the_release_on() -> None:
    told = status(journal(*FORWARD, "switch", "release"), 7)
    assert told["committed"] is True
    assert told["keep_until"].startswith("2026-01-08T00:00:")
    assert status(journal(*FORWARD), 7)["keep_until"] is None


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([("capture", "started")], "capturing"),
        (["schema", "capture", "copy"], "capturing"),
        (ONLINE, "following"),
        # A run again goes through the same phases.
        ([*ONLINE, "capture", "schema", "copy", ("follow", "started"), "verify"], "following"),
        ([*ONLINE, ("switch_online", "started")], "deciding"),
        ([*ONLINE, ("switch_online", "started"), ("switch_online", "failed")], "deciding"),
        ([*ONLINE, ("switch_online", "started"), ("switch_off", "done")], "following"),
        ([*ONLINE, ("switch_online", "started"), ("switched_online", "done")], "switched_online"),
        ([*ONLINE, ("switch_online", "started"), ("switched_online", "done"), "reverse", "blue_seal"], "released"),
        ([*ONLINE, "switch_online", ("switched_online", "done"), ("rollback_switch", "started")], "deciding_back"),
        (
            [
                *ONLINE,
                "switch_online",
                ("switched_online", "done"),
                ("rollback_switch", "started"),
                ("switch_off", "done"),
            ],
            "released",
        ),
        (
            [*ONLINE, "switch_online", ("switched_online", "done"), "rollback_switch", ("switched_back", "done")],
            "standby",
        ),
        ([*ONLINE, "call_off"], "source"),
    ],
)
def test_the_stage_follows_an_online_cutover(steps: list[Any], expected: str) -> None:
    assert stage(journal(*steps))[0] == expected


def test_the_strategy_under_way_is_known_until_it_is_called_off() -> None:
    assert status(journal("schema"), 7)["strategy"] is None
    assert status(journal("schema", "maintenance", "fence"), 7)["strategy"] == "maintenance"
    assert status(journal(*ONLINE), 7)["strategy"] == "online"
    assert status(journal(*ONLINE, "switch_online", ("switched_online", "done")), 7)["strategy"] == "online"
    assert status(journal(*ONLINE, "call_off"), 7)["strategy"] is None


@pytest.mark.parametrize("phase", ["fence", "put_back", "capture", "switch_online", "rollback_switch", "call_off"])
def test_nothing_begins_before_an_undecided_attempt_is_settled(phase: str) -> None:
    undecided = journal(*ONLINE, ("switch_online", "started"))
    assert status(undecided, 7)["undecided"]
    with pytest.raises(CutoverError, match="refused at stage deciding"):
        check_allowed(undecided, phase)


def test_a_maintenance_does_not_fence_a_source_that_is_followed() -> None:
    with pytest.raises(CutoverError, match="online cutover is under way"):
        check_allowed(journal(*ONLINE), "fence")


def test_the_fence_of_an_online_switch_is_the_position_until_the_way_back() -> None:
    events = journal(*ONLINE, "switch_online", ("switched_online", "done"))
    events[-1]["detail"] = {"attempt": "r-1"}
    assert position(events) == "r-1"
    assert status(events, 7)["keep_until"]
    back = [*events, *journal("rollback_switch", ("switched_back", "done"))]
    assert position(back) is None
    assert status(back, 7)["keep_until"] is None


def test_the_engine_s_word_that_it_has_switched_counts_whatever_was_said_before() -> None:
    events = journal(*ONLINE, ("switch_online", "started"), ("switch_off", "done"), ("switched_online", "done"))
    assert stage(events)[0] == "switched_online"


@pytest.mark.parametrize("phase", ["schema", "snapshot", "copy", "indexes"])
@pytest.mark.parametrize("playbook", ["sync.yml", "schema.yml", "migrate.yml"])
def test_what_is_followed_is_made_anew_by_the_cutover_alone(phase: str, playbook: str) -> None:
    following = journal(*ONLINE)
    with pytest.raises(CutoverError, match="PostgreSQL follows the source"):
        check_allowed(following, phase, playbook)
    check_allowed(following, phase, "cutover.yml")
    check_allowed(journal("schema"), phase, playbook)
