# SPDX-License-Identifier: GPL-3.0-or-later
"""What came of a fleet's run: an entry for each tenant, a table for the terminal."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any

from .children import Ended, tail

_UNREACHABLE = 4
_PHASE = re.compile(r"Phase (?P<phase>\w+) (?:failed|would fail): (?P<message>.+)")
_FAILED = re.compile(r"^\[ERROR\]: (?:Task failed: )?(?P<message>.+)$", re.M)
_LOST = re.compile(r"^(?P<host>\S+)\s*: .*unreachable=[1-9]", re.M)
_CHANGED = re.compile(r"\bchanged=([0-9]+)")
_AGAIN = "mend that, then run the same command again: it does only what is left"
#: Outcomes with which nothing is left to do.
GOOD = frozenset({"done before", "ok"})
#: The outcome of a host whose tenants are not known.
UNKNOWN = "unknown"


def entry(ended: Ended, log: str, reports: str, host: str) -> dict[str, Any]:
    """{tenant, host, outcome, ok, rows, seconds, changed, reason, report, log, next} of a tenant whose run has ended."""
    report, page = _report(reports, ended.began)
    text = tail(log)
    changed = sum(int(number) for number in _CHANGED.findall(text.rpartition("PLAY RECAP")[2])) > 0
    made: dict[str, Any] = {
        "tenant": ended.name,
        "host": host,
        "outcome": "ok",
        "ok": ended.code == 0,
        "rows": _rows(report),
        "seconds": ended.seconds,
        "changed": changed,
        "reason": "",
        "report": page,
        "log": log,
        "next": "",
    }
    lost = _LOST.findall(text.rpartition("PLAY RECAP")[2])
    if ended.code == 0:
        made["outcome"] = str(report.get("outcome") or "ok")
    elif ended.stopped:
        made.update(
            outcome="stopped",
            reason="the run was ended before it was through" if ended.code is not None else "not begun",
        )
        made["next"] = "run the same command again: it goes on"
    else:
        made["outcome"] = "unreachable" if ended.code == _UNREACHABLE else str(report.get("outcome") or "failed")
        made["reason"] = str(report.get("message") or "") or _reason(text)
        made["next"] = f"bring {', '.join(lost)} back, then run the same command again: it goes on" if lost else _AGAIN
    return made


def passed(name: str, host: str, stage: str) -> dict[str, Any]:
    """The entry of a tenant for which an earlier run did everything."""
    return {**_nothing(name, host), "outcome": "done before", "ok": True, "reason": f"it is {stage}"}


def lost(name: str, host: str, reason: str) -> dict[str, Any]:
    """The entry of a tenant whose host did not answer as it should, so that its run was not begun."""
    return {
        **_nothing(name, host),
        "outcome": "unreachable",
        "reason": f"{host} cannot be worked with: {' '.join(reason.split()) or 'it does not answer'}",
        "next": f"bring {host} back, then run the same command again: it does only what is left",
    }


def silent(host: str, reason: str) -> dict[str, Any]:
    """The entry of a host that did not say which files it has: nobody knows how many tenants are missing."""
    return {**lost(f"all of {host}", host, reason), "outcome": UNKNOWN}


def _nothing(name: str, host: str) -> dict[str, Any]:
    return {
        "tenant": name,
        "host": host,
        "outcome": "",
        "ok": False,
        "rows": None,
        "seconds": 0.0,
        "changed": False,
        "reason": "",
        "report": "",
        "log": "",
        "next": "",
    }


def _report(folder: str, began: float) -> tuple[dict[str, Any], str]:
    """The report that this run wrote, and the page of it; an older one is another run's."""
    path = os.path.join(folder, "latest", "report.json")
    try:
        if os.stat(path).st_mtime < began - 1:
            return {}, ""
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}, ""
    return (
        (found, os.path.join(os.path.realpath(os.path.dirname(path)), "report.html"))
        if isinstance(found, dict)
        else ({}, "")
    )


def _rows(report: Mapping[str, Any]) -> int | None:
    counts = [
        table.get("rows_target", table.get("rows"))
        for table in report.get("tables") or ()
        if isinstance(table, Mapping)
    ]
    numbers = [count for count in counts if isinstance(count, int)]
    return sum(numbers) if numbers else None


def _reason(text: str) -> str:
    """Why a run that wrote no report failed, by its log."""
    for pattern in (_PHASE, _FAILED):
        said = [match["message"].strip() for match in pattern.finditer(text)]
        if said:
            return said[-1].removesuffix('"')
    return "see its log"


def table(entries: list[dict[str, Any]]) -> list[str]:
    """The lines for the terminal: a row a tenant, then for each that is not done why, where to read, what to do."""
    rows = [("tenant", "host", "outcome", "rows", "seconds")]
    for one in entries:
        rows.append(
            (
                one["tenant"],
                one["host"],
                one["outcome"],
                "" if one["rows"] is None else f"{one['rows']:,}",
                f"{one['seconds']:.0f}" if one["log"] else "",
            )
        )
    wide = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    right = {3, 4}
    lines = [
        "  ".join(cell.rjust(wide[at]) if at in right else cell.ljust(wide[at]) for at, cell in enumerate(row)).rstrip()
        for row in rows
    ]
    lines.insert(1, "-" * len(max(lines, key=len)))
    for one in entries:
        if not one["ok"]:
            lines += ["", f"{one['tenant']}: {one['reason'].rstrip('.')}."]
            lines += [
                f"  {label}: {one[key]}"
                for label, key in (("next", "next"), ("report", "report"), ("log", "log"))
                if one[key]
            ]
    return lines


def verdict(entries: list[dict[str, Any]]) -> str:
    """One line: how many are done, which are not."""
    known = [one for one in entries if one["outcome"] != UNKNOWN]
    bad = [one["tenant"] for one in known if not one["ok"]]
    unheard = [one["host"] for one in entries if one["outcome"] == UNKNOWN]
    if not unheard and not bad:
        return f"All {len(known)} tenants are done."
    told = [f"{len(known) - len(bad)} of {len(known)} tenants are done"]
    if bad:
        told.append(f"not done: {', '.join(bad)}")
    if unheard:
        told.append(f"not known: the tenants on {', '.join(unheard)}, which did not answer")
    return "; ".join(told) + "."
