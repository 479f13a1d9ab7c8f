# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides ``ok``. It is never taken from anybody: it follows from the journal, and doubt means no."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from .attempts import OWN_PHASE, Attempt, last_done, last_of
from .runs import gives_the_source_back

#: Outcomes after which all data has to be proven in the target.
PROVEN = ("released", "migrated", "verified", "rehearsed")
SUCCESSES = (*PROVEN, "rolled_back", "unchanged")
OUTCOMES = (*SUCCESSES, "refused", "failed")

#: What a run cannot have reached its outcome without.
_NEEDED = {
    "released": ("copy", "switch", "release"),
    "migrated": ("copy",),
    # Nothing of it may stay behind: the change log is removed again.
    "rehearsed": ("capture", "copy", "follow", "measure", "call_off", "rehearsal_tidy"),
}
#: The same online: what was copied once is followed from then on, so a second attempt copies nothing.
_NEEDED_ONLINE = ("switched_online", "verify_switched", "reverse")
#: A critical section that was killed, and what says that it was settled.
_SETTLED = {
    "switch_online": ("switched_online", "switch_off"),
    "rollback_switch": ("switched_back", "switch_off"),
}
#: Phases that write to the target: what was verified before them says nothing any more.
_WRITES_TARGET = ("schema", "copy", "indexes")
#: More reasons than this do not make it clearer.
_MOST_NAMED = 5


def problems(report: Mapping[str, Any], plan: Mapping[str, Any], tries: list[Attempt], unreadable: int) -> list[str]:
    """Every reason why the report must not say ok. Empty means ok."""
    outcome = report["outcome"]
    if outcome not in SUCCESSES:
        return [report["message"]]
    found = _undecided(report)
    if unreadable:
        found.append(f"{unreadable} entries of the journal could not be read")
    found += _unfinished(tries)
    found += [
        f'outcome "{outcome}", but the journal holds no finished phase "{phase}"'
        for phase in _needed(outcome, tries)
        if last_done(tries, phase) is None
    ]
    if outcome in PROVEN:
        found += _unproven(report, plan, tries)
    return found


def _needed(outcome: str, tries: list[Attempt]) -> tuple[str, ...]:
    # A cutover that was not finished is called off in one phase.
    if outcome == "rolled_back" and last_of(tries, "put_back") is None:
        if last_of(tries, "call_off") is not None:
            return ("call_off",)
        if online(tries):
            return ("switched_back",)
        return ("rollback_put_back", "rollback_release")
    if outcome == "released" and online(tries):
        return _NEEDED_ONLINE
    return _NEEDED.get(outcome, ())


def online(tries: list[Attempt]) -> bool:
    """Whether the run followed the source, or went back, while the application served."""
    return last_of(tries, "capture", "switched_online", "rollback_switch", "call_off") is not None


def _undecided(report: Mapping[str, Any]) -> list[str]:
    found = []
    if report["refused"]:
        found.append(f"refused: {_places(report['refused'])}")
    errors = [finding for finding in report["findings"] if finding["severity"] == "error"]
    if errors:
        found.append(f"findings that stop a run: {_places(errors)}")
    if report["outcome"] == "rehearsed":
        predicted = report.get("rehearsal")
        if predicted is None:
            found.append("nothing was predicted: the journal holds no finished measurement")
        else:
            found += [f"the cutover would be refused: {reason}" for reason in predicted["would_refuse"]]
    return found


def _unfinished(tries: list[Attempt]) -> list[str]:
    found = []
    for name in dict.fromkeys(one.phase for one in tries):
        last = last_of(tries, name)
        if name == OWN_PHASE or last is None or last.state == "done":
            continue
        settled = last_done(tries, *_SETTLED[name]) if name in _SETTLED else None
        if settled is not None and settled.order > last.began:
            continue
        why = last.detail.get("message")
        found.append(
            f'phase "{name}" {"failed" if last.state == "failed" else "did not come to its end"}'
            + (f": {why}" if isinstance(why, str) and why else "")
        )
    return found


def _unproven(report: Mapping[str, Any], plan: Mapping[str, Any], tries: list[Attempt]) -> list[str]:
    planned, found = _planned(plan)
    if found:
        return found
    verify = last_done(tries, "verify")
    if verify is None:  # a later one that failed or was killed is found as an unfinished phase
        return ["the rows were not verified: the journal holds no finished verification"]
    later = [
        one.phase
        for one in tries
        if one.order > verify.began
        and (one.phase in _WRITES_TARGET or (gives_the_source_back(one.phase) and report["outcome"] != "rehearsed"))
    ]
    if later:
        return [f'the verification is out of date: phase "{later[-1]}" ran after it']
    entries = verify.detail.get("tables")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return ["the verification lists no tables"]
    found = _unequal_tables(planned, entries)
    if verify.detail.get("differences"):
        found.append(f"the verification lists {len(report['differences'])} differing values")
    return found


def _planned(plan: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Target by table name, or why the plan proves nothing."""
    tables = plan.get("tables")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        return {}, ["there is no plan, so nothing says which tables had to arrive"]
    names = [table.get("name") for table in tables]
    if not all(isinstance(name, str) and name for name in names):
        return {}, ["the plan holds a table without a name"]
    if len(set(names)) != len(names):
        return {}, ["the plan names a table twice"]
    source = plan.get("source")
    in_source = source.get("tables") if isinstance(source, dict) else None
    if not names and in_source != 0 and not plan.get("not_carried"):
        return {}, ["the plan has no tables, though nothing says that the source has none"]
    return {table["name"]: table.get("target") for table in tables}, []


def _unequal_tables(planned: Mapping[str, Any], entries: list[dict[str, Any]]) -> list[str]:
    found = []
    seen = Counter(table_name(entry) for entry in entries)
    twice = [name for name, times in seen.items() if times > 1]
    if twice:
        found.append(f"verified twice, with results that may differ: {_names(twice)}")
    missing = [name for name in planned if name not in seen]
    if missing:
        found.append(f"not verified: {_names(missing)}")
    strangers = [name for name in seen if name not in planned]
    if strangers:
        found.append(f"verified, but not in the plan: {_names(strangers)}")
    elsewhere = [
        name
        for name, target in ((table_name(entry), entry.get("target")) for entry in entries)
        if name in planned and target not in (None, planned[name])
    ]
    if elsewhere:
        found.append(f"compared with another table than the plan's: {_names(elsewhere)}")
    wrong = [(table_name(entry), why) for entry in entries for why in [unequal(entry)] if why]
    found += [f'table "{name}": {why}' for name, why in wrong[:_MOST_NAMED]]
    if len(wrong) > _MOST_NAMED:
        found.append(f"{len(wrong) - _MOST_NAMED:,} more tables are not equal")
    return found


def unequal(entry: Mapping[str, Any]) -> str | None:
    """Why this result of a verification does not prove that the table arrived whole; None when it does."""
    rows_source, rows_target = count(entry.get("rows_source")), count(entry.get("rows_target"))
    if rows_source is None or rows_target is None:
        return "its rows were not counted on both sides"
    aside = count(entry.get("rows_quarantined") or 0)
    if aside is None:
        return "nothing says how many of its rows are in quarantine"
    if rows_source != rows_target + aside:
        kept = f" and {aside:,} in quarantine" if aside else ""
        return f"{rows_source:,} rows in the source, {rows_target:,} in the target{kept}"
    for field, text in (
        ("rows_different", "differ"),
        ("rows_only_source", "are only in the source"),
        ("rows_only_target", "are only in the target"),
    ):
        rows = count(entry.get(field))
        if rows is None:
            return f"nothing says how many rows {text}"
        if rows:
            return f"{rows:,} rows {text}"
    if rows_source and not (isinstance(entry.get("checksum"), str) and entry["checksum"]):
        return "it has no checksum"
    return None


def table_name(entry: Mapping[str, Any]) -> str:
    """The table an entry is about. What is no text can match no table of the plan."""
    name = entry.get("name")
    return name if isinstance(name, str) else f"<{name!r}>"


def count(value: object) -> int | None:
    """A number of things, or None when it is not one (text, a negative number, true)."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _names(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(f'"{name}"' for name in names[:_MOST_NAMED]) + more


def _places(items: list[dict[str, Any]]) -> str:
    """Where findings or refusals are: each column once, in their order."""
    names = dict.fromkeys(
        ".".join(str(part) for part in (item.get("table"), item.get("column")) if part)
        or str(item.get("message") or item.get("reason") or "no place given")
        for item in items
    )
    return _names(list(names))
