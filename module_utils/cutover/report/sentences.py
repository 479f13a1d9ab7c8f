# SPDX-License-Identifier: GPL-3.0-or-later
"""What the report says in sentences: what happened, where the data is, the way back, what is next.

Used by the page and by the terminal, so that both say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .application import TARGET, UNKNOWN
from .verdict import PROVEN, count, unequal
from .words import describe, number, place, plural, visible, when

_HEADLINES = {
    "released": "Released: the application runs on PostgreSQL",
    "migrated": "Migrated: the data is in PostgreSQL",
    "verified": "Verified: source and target are equal",
    "rolled_back": "Rolled back: the application runs on SQLite",
    "rehearsed": "Rehearsed: the cutover would go through, nothing was switched",
    "unchanged": "Nothing to do",
    "refused": "Refused: nothing was moved",
}
_DOUBTFUL = {
    "released": "Released, but not proven",
    "migrated": "Migrated, but not proven",
    "verified": "Not verified",
    "rolled_back": "Rolled back, with open points",
    "rehearsed": "Rehearsed: the cutover would not go through, nothing was switched",
    "unchanged": "Nothing was changed, but there are open points",
}


def headline(report: Mapping[str, Any]) -> str:
    """The verdict in one line."""
    outcome, phase = report["outcome"], failed_phase(report)
    if outcome == "failed":
        return f"Failed in phase {visible(phase)}" if phase else "Failed"
    if outcome == "refused" and report["application_on"] == TARGET:
        return "Refused: the application stays on PostgreSQL"
    if outcome == "refused" and phase and phase != "preflight":
        return f"Refused in phase {visible(phase)}"
    if not report["ok"] and outcome in _DOUBTFUL:
        return _DOUBTFUL[outcome]
    return _HEADLINES[outcome]


def failed_phase(report: Mapping[str, Any]) -> str | None:
    """The first phase that failed for good, before the application was put back."""
    return next((phase["name"] for phase in report["phases"] if phase["state"] == "failed"), None)


def tone(report: Mapping[str, Any]) -> str:
    """good, bad, or warn for what is right but has a price."""
    if not report["ok"]:
        return "bad"
    return "warn" if report["outcome"] == "rolled_back" and report["writes_left_behind"] else "good"


def source_name(report: Mapping[str, Any]) -> str:
    """The SQLite file."""
    return visible(report["source"]["path"] or "the SQLite file")


def target_name(report: Mapping[str, Any]) -> str:
    """The PostgreSQL database, as database on host:port."""
    target = report["target"]
    if not target["database"]:
        return "PostgreSQL"
    host = f" on {target['host']}" if target["host"] else ""
    port = f":{target['port']}" if host and target["port"] else ""
    return visible(f"PostgreSQL database {target['database']}{host}{port}")


def where(report: Mapping[str, Any]) -> str:
    """Which database is the writable one, as far as the journal tells."""
    source, target, outcome = source_name(report), target_name(report), report["outcome"]
    if outcome == "released" and report["strategy"] == "online":
        return f"{target} takes the writes. {source} gets each of them a moment later, and takes none from the application."
    if outcome == "released":
        return f"{target} takes the writes. {source} is kept as it was at the switch and takes none."
    if outcome == "rolled_back":
        return f"{source} takes the writes again. {target} is kept and takes none from the application."
    if outcome == "migrated":
        return f"In both: {source} was only read, {target} holds the copy."
    if outcome == "rehearsed":
        return f"The application is on SQLite, as before: {source}. The copy in {target} was for the rehearsal alone."
    if outcome == "verified":
        return f"This run only compared: {source} with {target}."
    if outcome == "unchanged":
        after = report["database_after"]
        return f"The application uses {describe(after)}." if after else f"Where it was: {source}."
    return _where_after_failure(report)


def _where_after_failure(report: Mapping[str, Any]) -> str:
    source, target, on = source_name(report), target_name(report), report["application_on"]
    if on == TARGET:
        return f"The application is on PostgreSQL: {target} takes the writes."
    if on == UNKNOWN:
        return "The run stopped on the way. playbooks/status.yml tells which database the application uses."
    copied = any(phase["name"] == "copy" for phase in report["phases"])
    rest = f"What {target} holds is not to be used." if copied else "Nothing was copied."
    if on is None:  # there is no application
        return f"{source} was only read. {rest}"
    return f"The application is on SQLite: {source}. {rest}"


def way_back(report: Mapping[str, Any]) -> str:
    """Whether, how and until when one can go back; empty where the question does not arise."""
    back = report["way_back"]
    if not back["possible"]:
        return ""
    until = f", which refuses before {when(back['until'])}" if back["until"] else ""
    text = f"Yes, with playbooks/rollback.yml, until somebody runs playbooks/finalize.yml{until}."
    if back["loses_writes"]:
        text += " Writes made on PostgreSQL since the release stay there; the rollback counts them first."
    return text


def next_step(report: Mapping[str, Any]) -> str:
    """What the operator does now."""
    outcome, back = report["outcome"], report["way_back"]
    if outcome == "refused" and report["application_on"] == TARGET:
        return "To go back and leave these writes behind: the same playbook with -e cutover_accept_loss=true."
    if outcome == "refused":
        return (
            "Settle each error: put its plan entry, which the report shows, into cutover_plan_overrides, "
            "or correct the data. Then run the playbook again."
        )
    if outcome == "failed" and report["application_on"] == TARGET:
        return "Look at the application. It stays on PostgreSQL unless you run playbooks/rollback.yml."
    if outcome == "failed":
        if failed_phase(report) == "verify" or report["differences"]:
            return "Find out why the rows differ (the report lists them), then run the same playbook again."
        return "Correct the cause, then run the same playbook again: it goes on or repeats without harm."
    if not report["ok"]:
        if outcome == "released":
            return "Settle the points named, then playbooks/verify.yml; or go back with playbooks/rollback.yml."
        return "Settle the points named, then run the playbook again."
    if outcome == "rehearsed":
        return "playbooks/cutover.yml without cutover_rehearsal, under no more load than now."
    if outcome == "released":
        return (
            f"Nothing now. After {when(back['until'])}: playbooks/finalize.yml."
            if back["until"]
            else ("Nothing now. When the retention has passed: playbooks/finalize.yml.")
        )
    if outcome == "rolled_back" and report["writes_left_behind"]:
        return f"Decide what becomes of the writes that are only in {target_name(report)}."
    return ""


def rows_proven(report: Mapping[str, Any]) -> str:
    """The rows and tables that were compared, in one sentence; empty when none were."""
    compared = [table for table in report["tables"] if count(table["rows_source"]) is not None]
    if not compared:
        return ""
    rows = sum(table["rows_source"] for table in compared)
    bad = sum(1 for table in compared if not equal(table))
    text = f"{plural(rows, 'row')} in {plural(len(compared), 'table')} compared"
    aside = sum(count(table["rows_quarantined"]) or 0 for table in compared)
    if aside:
        text += f", {number(aside)} of them in quarantine"
    if bad:
        return f"{text}: {plural(bad, 'table')} not equal."
    return f"{text}, all equal." if report["ok"] or report["outcome"] not in PROVEN else f"{text}."


def equal(table: Mapping[str, Any]) -> bool:
    """True when the verification found the table equal."""
    return unequal(table) is None


def left_behind(writes: Mapping[str, Any]) -> str:
    """One table's writes that stay in the target: 3 inserted, 1 updated."""
    parts = [f"{number(writes[key])} {key}" for key in ("inserted", "updated", "deleted") if writes[key]]
    return ", ".join(parts)


def decision(item: Mapping[str, Any]) -> str:
    """A finding or a refusal in one line."""
    text = visible(item.get("message") or item.get("reason"))
    value = "" if item.get("value") is None else f" (value {visible(item['value'], 60)})"
    return ": ".join(filter(None, [place(item), text])) + value
