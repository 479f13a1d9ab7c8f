# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report of an online cutover, its rollback and its calling off has to rest on."""

from __future__ import annotations

from typing import Any

import pytest

from cutover.report import build, sentences
from support.report import ROWS, Journal, assert_not_ok, context, details, plan, released

FIGURES = {"attempt": "run-online-1", "hold_ms": 21.4, "waited_ms": 3.0, "drained": 12, "drain_ms": 6.5, "attempts": 1}
PREPARED = ["preflight", "provision", "capture", "schema", "backup", "snapshot", "copy", "indexes", "reverse_ready"]
PREPARED += ["readers", "follow_begin", "follow", "caught_up", "green", "green_smoke", "pause", "proof_snapshot"]


def phases(journal: Journal, *names: str) -> Journal:
    """Phases that ended well, with what they tell."""
    told = details(ROWS)
    for name in names:
        journal.phase(name, **told.get(name, {}))
    return journal


def switched(journal: Journal) -> Journal:
    """A critical section that ended on PostgreSQL."""
    journal.add("phase", "switch_online", "started").add("phase", "switched_online", "done", **FIGURES)
    return journal.add("phase", "switch_online", "done", **FIGURES)


def cutover() -> Journal:
    """A whole cutover."""
    journal = phases(Journal().add("begin"), *PREPARED, "verify")
    phases(switched(journal), "route", "verify_switched", "reverse", "blue_stop", "blue_seal", "watch")
    return journal.add("end", outcome="released")


def without(journal: Journal, phase: str) -> Journal:
    """The journal as if a phase had never been."""
    journal.events[:] = [event for event in journal.events if event["phase"] != phase]
    return journal


def back(outcome: str, journal: Journal) -> dict[str, Any]:
    """The report of a rollback."""
    return build(journal.events, plan(), [], context(outcome, journal, strategy="online"))


def test_a_whole_cutover_is_ok_and_tells_its_critical_section() -> None:
    report = released(cutover(), strategy="online")
    assert report["ok"], report["message"]
    assert report["application_on"] == "target"
    assert report["critical_section"]["hold_ms"] == 21.4
    assert report["way_back"]["loses_writes"] is False


def test_it_does_not_say_that_the_file_is_left_alone_when_it_gets_every_write() -> None:
    text = sentences.where(released(cutover(), strategy="online"))
    assert "gets each of them a moment later" in text
    assert "as it was at the switch" not in text


@pytest.mark.parametrize("phase", ["switched_online", "verify_switched", "reverse", "verify"])
def test_without_one_of_its_proofs_it_is_not(phase: str) -> None:
    assert_not_ok(released(without(cutover(), phase), strategy="online"), "verif" if phase == "verify" else phase)


def test_a_switch_that_was_killed_and_settled_by_the_next_run_is_ok() -> None:
    journal = phases(Journal().add("begin"), *PREPARED, "verify").add("phase", "switch_online", "started")
    journal.run = "later"
    phases(journal.add("begin"), "preflight").add("phase", "settle", "started")
    journal.add("phase", "switched_online", "done", **FIGURES).add("phase", "settle", "done")
    phases(journal, "route", "verify_switched", "reverse", "blue_stop", "blue_seal").add("end", outcome="released")
    report = released(journal, strategy="online")
    assert report["ok"], report["message"]


@pytest.mark.parametrize(("off", "on"), [(True, "source"), (False, "unknown")])
def test_a_failed_switch_leaves_the_application_where_the_journal_says(off: bool, on: str) -> None:
    journal = phases(Journal().add("begin"), *PREPARED, "verify").add("phase", "switch_online", "started")
    if off:
        journal.add("phase", "switch_off", "done")
    journal.add("phase", "switch_online", "failed", message="a write did not end").add("end", outcome="failed")
    assert back("failed", journal)["application_on"] == on


def test_a_second_cutover_copies_nothing_and_is_ok() -> None:
    journal = phases(Journal().add("begin"), "preflight", "capture", "follow", "caught_up", "green", "verify")
    phases(switched(journal), "verify_switched", "reverse", "blue_seal").add("end", outcome="released")
    assert released(journal, strategy="online")["ok"]


def test_a_rollback_rests_on_its_own_critical_section() -> None:
    journal = phases(Journal().add("begin"), "rollback_unseal", "rollback_blue", "rollback_pause")
    journal.add("phase", "rollback_switch", "started").add("phase", "switched_back", "done", **FIGURES)
    journal.add("phase", "rollback_switch", "done")
    phases(journal, "rollback_route", "rollback_follow", "rollback_green").add("end", outcome="rolled_back")
    report = back("rolled_back", journal)
    assert report["ok"], report["message"]
    assert report["application_on"] == "source"
    assert_not_ok(back("rolled_back", without(journal, "switched_back")), "switched_back")


def test_a_cutover_that_was_called_off_leaves_the_application_on_sqlite() -> None:
    journal = phases(Journal().add("begin"), "call_off").add("end", outcome="rolled_back")
    report = back("rolled_back", journal)
    assert report["ok"], report["message"]
    assert report["application_on"] == "source"
