# SPDX-License-Identifier: GPL-3.0-or-later
"""Which database the application uses at the end of a run, by the journal alone.

Whoever starts a run knows where it is meant to arrive. After a failure that is not where it is.
"""

from __future__ import annotations

from .attempts import Attempt, last_done, last_of
from .runs import gives_the_source_back

SOURCE, TARGET, UNKNOWN = "source", "target", "unknown"


def application_on(outcome: object, tries: list[Attempt]) -> str:
    """source, target or unknown: half-way between the two only status.yml can tell, by looking."""
    if outcome in ("released", "rolled_back"):
        return TARGET if outcome == "released" else SOURCE
    phases = {one.phase for one in tries}
    back = [one for one in tries if gives_the_source_back(one.phase)]
    if back:
        ends = last_done(back, "put_back", "rollback_release", "call_off")
        if (ends is not None and ends is last_of(back)) or last_done(back, "switched_back") is not None:
            return SOURCE
        # A rollback that stopped while it counted has taken nothing from the application.
        reached = phases & {"put_back", "rollback_put_back", "rollback_restart", "rollback_release", "call_off"}
        switch = last_of(tries, "rollback_switch")
        if switch is not None:
            off = last_done(tries, "switch_off")
            return TARGET if off is not None and off.order > switch.began else UNKNOWN
        return TARGET if back[0] is tries[0] and not reached else UNKNOWN
    if last_done(tries, "release", "switched_online") is not None:
        return TARGET
    switch = last_of(tries, "switch_online")
    if switch is not None:
        off = last_done(tries, "switch_off")
        return SOURCE if off is not None and off.order > switch.began else UNKNOWN
    # Fenced and not put back, or in the middle of the switch: the application may be on neither.
    return UNKNOWN if phases & {"maintenance", "fence", "switch", "restart"} else SOURCE


def database_after(stated: object, before: object, on: str, outcome: object, tries: list[Attempt]) -> object:
    """The database after the run: as stated when the run arrived, else what the journal allows to say."""
    if outcome not in ("failed", "refused"):
        return stated
    went_back = bool(tries) and gives_the_source_back(tries[0].phase)
    if on == UNKNOWN:
        return None
    return before if on == (TARGET if went_back else SOURCE) else stated
