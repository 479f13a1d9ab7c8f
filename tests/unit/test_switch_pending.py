# SPDX-License-Identifier: GPL-3.0-or-later
"""Which attempts the journal has not heard of: none of the run that is about to make one."""

from __future__ import annotations

from pathlib import Path

from cutover.journal import Journal
from cutover.switch import pending


def test_a_run_s_own_opening_of_the_critical_section_is_nothing_to_settle(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    for phase in ("capture", "follow", "switch_online"):
        journal.append("phase", "mine", phase=phase, state="started")
    assert pending.read(str(tmp_path), opened_by="mine") is None
    assert pending.read(str(tmp_path), opened_by="later") == pending.Pending("", "forward")
    assert pending.read(str(tmp_path)) == pending.Pending("", "forward")


def test_an_attempt_in_the_file_is_to_be_settled_whoever_made_it(tmp_path: Path) -> None:
    pending.begin(str(tmp_path), pending.Pending("mine-online-1", "forward"))
    assert pending.read(str(tmp_path), opened_by="mine") == pending.Pending("mine-online-1", "forward")
