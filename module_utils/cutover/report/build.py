# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts report.json and preflight.json together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from .application import SOURCE, TARGET, application_on, database_after
from .attempts import Attempt, Event, attempts, instant, last_done, last_of, phases, read_events
from .carried import carried
from .redact import redact, redact_text
from .rehearsed import predictions
from .runs import events_of_run
from .verdict import OUTCOMES, SUCCESSES, problems, table_name

SEVERITIES = ("error", "warning", "info")
_SOURCE = ("path", "size_bytes", "tables", "rows", "sqlite_version", "journal_mode")
_TARGET = ("host", "port", "database", "server_version")
_VERIFIED = (
    "rows_source",
    "rows_target",
    "rows_different",
    "rows_only_source",
    "rows_only_target",
    "rows_quarantined",
    "checksum",
)
_REFUSED = ("table", "column", "key", "value", "reason", "decide")
_FINDING = ("severity", "table", "column", "key", "value", "message", "decide")

#: What an outcome means when nobody gave a message.
_MESSAGES = {
    "released": "The application runs on PostgreSQL and every row was verified.",
    "migrated": "The data is in PostgreSQL and every row was verified.",
    "verified": "Every row of the source is in the target, unchanged.",
    "rolled_back": "The application runs on SQLite again.",
    "rehearsed": "All but the switch was done and every row was verified; the application stayed on SQLite.",
    "unchanged": "There was nothing to do.",
    "refused": "The run was refused: something cannot be carried as it is.",
    "failed": "The run failed.",
}


def build(journal: object, plan: object, findings: object, context: Mapping[str, Any]) -> dict[str, Any]:
    """report.json. ``ok`` is computed from what the journal proves; what is missing makes it false.

    Texts written by programs (messages, paths, URLs) lose every password. Keys and values that come from the
    data are left exactly as they are: they are what the report is about.
    """
    plan = plan if isinstance(plan, Mapping) else {}
    now = str(context.get("now") or "")
    events, unreadable = read_events(journal)
    own = events_of_run(events, str(context.get("run") or ""), context.get("outcome"))
    tries = attempts(own, now)
    verify = last_of((one for one in tries if one.state in ("done", "failed")), "verify")
    verify_detail = verify.detail if verify is not None else {}
    ended = [event.at for event in own if event.event == "end"]

    report: dict[str, Any] = {
        "ok": False,
        "name": context.get("name"),
        "run": context.get("run"),
        "strategy": context.get("strategy"),
        "outcome": context.get("outcome"),
        "message": redact_text(str(context.get("message") or "")),
        "started": own[0].at if own else now,
        "finished": ended[-1] if ended else now,
        "source": _pick(plan.get("source"), _SOURCE),
        "target": _pick(context.get("target"), _TARGET),
        "database_before": redact(context.get("database_before")),
        "database_after": None,
        "application_on": None,
        "tables": _tables(plan, verify_detail, tries),
        "differences": _pick_each(verify_detail.get("differences"), ("table", "key", "column", "source", "target")),
        "carried": carried(plan),
        "not_carried": redact(_pick_each(plan.get("not_carried"), ("object", "kind", "reason", "hint"))),
        "refused": _refused(tries),
        "findings": _findings(findings),
        "rules": _pick_each(_last_detail(tries, "copy").get("rules"), ("table", "column", "rule", "count")),
        "quarantined": _pick_each(_last_detail(tries, "copy").get("quarantined"), ("table", "rows", "keys", "reason")),
        "phases": phases(tries),
        "backup": redact(_pick_or_none(_last_detail(tries, "backup"), ("path", "bytes", "sha256"))),
        "watch": _pick_or_none(
            _last_detail(tries, "watch"),
            ("seconds", "requests", "errors", "p50_ms", "p95_ms", "max_ms"),
        ),
        "critical_section": _pick_or_none(
            _last_detail(tries, "switched_online") or _last_detail(tries, "switched_back"),
            ("hold_ms", "waited_ms", "drained", "drain_ms", "attempts"),
        ),
        "rehearsal": predictions(tries, context.get("hold_budget_ms")) if context.get("rehearsal") else None,
        "writes_left_behind": _writes_left_behind(tries),
        "way_back": {},
        "problems": [],
    }
    _name_outcome(report, tries)
    if report["strategy"] != "migrate" and report["outcome"] not in ("migrated", "verified", "unchanged"):
        # A rehearsal takes nothing from the application, whatever becomes of it.
        rehearsal = bool(context.get("rehearsal"))
        report["application_on"] = SOURCE if rehearsal else application_on(report["outcome"], tries)
    on = report["application_on"] or SOURCE
    stated = redact(context.get("database_after"))
    report["database_after"] = database_after(stated, report["database_before"], on, report["outcome"], tries)
    found = problems(report, plan, tries, unreadable)
    report["ok"] = not found
    if report["outcome"] in SUCCESSES:
        report["problems"] = [redact_text(problem) for problem in found]
        if found:
            said = report["message"].rstrip(". ")
            report["message"] = ". ".join(filter(None, [said, "Not ok: " + "; ".join(report["problems"])]))
    report["message"] = report["message"] or _MESSAGES[report["outcome"]]
    report["way_back"] = _way_back(report, events, context)
    return report


def preflight(findings: object, context: Mapping[str, Any], plan: object = None) -> dict[str, Any]:
    """preflight.json: go or no-go. Without a description of the source nothing was looked at: no-go."""
    described = plan.get("source") if isinstance(plan, Mapping) else None
    result: dict[str, Any] = {
        "ok": False,
        "generated": context.get("now"),
        "name": context.get("name"),
        "source": _pick(described or context.get("source"), _SOURCE),
        "target": _pick(context.get("target"), _TARGET),
        "findings": _findings(findings),
    }
    unseen = [key for key in ("path", "tables") if result["source"].get(key) is None]
    if unseen and not _has_errors(result["findings"]):
        text = f"The source was not described ({' and '.join(unseen)} missing): nothing is known about it."
        result["findings"].insert(0, {**dict.fromkeys(_FINDING), "severity": "error", "message": text})
    result["ok"] = not _has_errors(result["findings"]) and context.get("outcome") not in ("refused", "failed")
    return result


def _has_errors(findings: list[dict[str, Any]]) -> bool:
    return any(finding["severity"] == "error" for finding in findings)


def _name_outcome(report: dict[str, Any], tries: list[Attempt]) -> None:
    """Makes the outcome one of the known ones, and gives a refusal or failure its reason."""
    outcome = report["outcome"]
    if outcome not in OUTCOMES:
        report["outcome"] = "failed"
        report["message"] = f'Unknown outcome "{redact(outcome)}". {report["message"]}'.strip()
    if report["outcome"] == "refused":
        known = {_place(item) for item in report["refused"]}
        for finding in report["findings"]:
            if finding["severity"] == "error" and _place(finding) not in known:
                report["refused"].append(
                    {
                        **{key: finding[key] for key in _REFUSED if key != "reason"},
                        "reason": finding["message"],
                    }
                )
        report["refused"] = [{key: item.get(key) for key in _REFUSED} for item in report["refused"]]
    if report["outcome"] in ("refused", "failed") and not report["message"]:
        failed = last_of(one for one in tries if one.state == "failed")
        report["message"] = redact_text(str(failed.detail.get("message") or "")) if failed is not None else ""


def _place(item: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(item.get(key)) for key in ("table", "column", "key"))


def _pick(value: object, keys: Iterable[str]) -> dict[str, Any]:
    """Only the named keys: what is not asked for cannot slip in."""
    given = value if isinstance(value, Mapping) else {}
    return {key: redact(given.get(key)) for key in keys}


def _pick_or_none(value: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any] | None:
    return {key: value.get(key) for key in keys} if value else None


def _pick_each(value: object, keys: Iterable[str]) -> list[dict[str, Any]]:
    items = value if isinstance(value, (list, tuple)) else []
    keys = tuple(keys)
    return [{key: item.get(key) for key in keys} for item in items if isinstance(item, Mapping)]


def _last_detail(tries: list[Attempt], phase: str) -> dict[str, Any]:
    last = last_done(tries, phase) or last_of(tries, phase)
    return last.detail if last is not None else {}


def _tables(plan: Mapping[str, Any], verified: Mapping[str, Any], tries: list[Attempt]) -> list[dict[str, Any]]:
    """Every table of the plan with what is known of it, then those that only the verification names."""
    results = {table_name(item): item for item in _mappings(verified.get("tables"))}
    copied: dict[str, Mapping[str, Any]] = {}
    for one in tries:  # a resumed copy may tell only of what it still had to do
        tables = one.detail.get("tables") if one.phase == "copy" and one.state == "done" else None
        for name, item in tables.items() if isinstance(tables, Mapping) else ():
            copied[name] = item if isinstance(item, Mapping) else {}
    targets = {table_name(item): item.get("target") for item in _mappings(plan.get("tables"))}
    for name, item in results.items():
        targets.setdefault(name, item.get("target"))
    nothing: Mapping[str, Any] = {}
    return [
        {
            "name": name,
            "target": target,
            **{key: results.get(name, nothing).get(key) for key in _VERIFIED},
            "bytes": copied.get(name, nothing).get("bytes"),
            "copy_seconds": copied.get(name, nothing).get("seconds"),
            "verify_seconds": results.get(name, nothing).get("seconds"),
        }
        for name, target in targets.items()
    ]


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, (list, tuple)) else []


def _refused(tries: list[Attempt]) -> list[dict[str, Any]]:
    """What the last try at each phase refused: a later try that went through has settled the earlier ones."""
    last = {one.phase: one for one in sorted(tries, key=lambda one: one.order)}
    entries = [_pick_each(one.detail.get("refused"), _REFUSED) for one in last.values()]
    return [{**entry, "reason": redact(entry["reason"])} for each in entries for entry in each]


def _findings(findings: object) -> list[dict[str, Any]]:
    """The findings, worst first. An unknown severity counts as an error; so does a missing list."""
    if not isinstance(findings, (list, tuple)):
        text = "The findings of the preflight are missing: nobody knows what it found."
        return [{**dict.fromkeys(_FINDING), "severity": "error", "message": text}]
    result = []
    for item in findings:
        given = item if isinstance(item, Mapping) else {"message": f"Unreadable finding: {item!r}"}
        finding = {key: given.get(key) for key in _FINDING}
        if finding["severity"] not in SEVERITIES:
            finding["severity"] = "error"
        result.append({**finding, "message": redact(finding["message"])})
    return sorted(result, key=lambda finding: SEVERITIES.index(finding["severity"]))


def _writes_left_behind(tries: list[Attempt]) -> list[dict[str, Any]]:
    counts = [one for one in tries if "writes" in one.detail]
    last = last_of(counts, "rollback_check", "rollback_count")
    counted = _pick_each(
        last.detail["writes"] if last is not None else None, ("table", "inserted", "updated", "deleted")
    )
    return [item for item in counted if any(item[key] != 0 for key in ("inserted", "updated", "deleted"))]


def _way_back(report: Mapping[str, Any], events: list[Event], context: Mapping[str, Any]) -> dict[str, Any]:
    """Whether rollback.yml can still go back, until when that is promised, and whether it costs writes."""
    if report["application_on"] != TARGET:
        return {"possible": False, "until": None, "loses_writes": None}
    # The release may be that of an earlier run: a refused rollback is still within its retention.
    releases = [event.at for event in events if event.state == "done" and event.phase in ("release", "switched_online")]
    since, days = instant(releases[-1]) if releases else None, context.get("retention_days")
    until = None
    if since is not None and isinstance(days, (int, float)) and not isinstance(days, bool) and days >= 0:
        until = (since + timedelta(days=days)).isoformat(timespec="seconds")
    return {"possible": True, "until": until, "loses_writes": report["strategy"] != "online"}
